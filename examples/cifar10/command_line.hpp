// SPDX-License-Identifier: MIT
// The flags of the program.
#pragma once

#include "data_source.hpp"
#include "form.hpp"

#include <gatedpaths/gates/skip.hpp>

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace cifar10 {

struct Options {
  DataRequest data;

  std::int64_t paths = 2;
  std::int64_t width = 1;
  gatedpaths::Skip skip = gatedpaths::Skip::kZeroFill;
  Form form = Form::kSlots;
  std::string path;              // the only one that is trained; empty: all are
  std::filesystem::path derive;  // has its first weights; empty: fresh ones

  std::int64_t epochs = 10;
  std::int64_t batch_size = 64;
  double lr = 0.04;
  double momentum = 0.9;
  double weight_decay = 0.001;
  std::uint64_t seed = 0;

  std::int64_t test_every = 1;
  std::int64_t threads = 1;
  std::string device = "cpu";

  std::filesystem::path checkpoint;  // empty: none is written
  bool resume = false;
  bool overwrite = false;
  std::filesystem::path metrics;  // empty: none are written
};

/// Reads the flags into `options`. Gives the exit status where the program has
/// nothing more to do: 0 after --help, 2 after a flag that cannot be used.
std::optional<int> parse_command_line(
    const std::vector<std::string>& arguments,
    Options& options,
    std::ostream& out,
    std::ostream& err);

}  // namespace cifar10
