// SPDX-License-Identifier: MIT
// A file with one JSON object a line, each with an "event": "start", "epoch",
// "test" or "end".
#pragma once

#include "json.hpp"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace cifar10 {

/// Throws where this file cannot be opened for writing, with the reason. What
/// is in it stays.
void require_writable(const std::filesystem::path& file);

/// Writes the events. Each line is on its way to the disk when `write` returns.
class Metrics {
 public:
  /// Drops every event.
  Metrics() = default;

  /// Starts the file anew.
  explicit Metrics(const std::filesystem::path& file);

  /// Goes on in a file that a stopped run left, or starts a new one. What
  /// stands in it of the first `epochs_done` epochs stays. The rest goes, since
  /// the run will write it again: epochs that were reported but not saved, the
  /// end, and a line that was cut short.
  ///
  /// Throws, and leaves the file as it is, where that holds something else than
  /// the metrics of the run with this name (the "run" of its "start"s).
  Metrics(
      const std::filesystem::path& file,
      std::int64_t epochs_done,
      const std::string& run = "");

  void write(const Json& event);

  /// Whether the tests after this epoch are in the file already.
  bool has_test(std::int64_t epoch) const { return last_test_ >= epoch; }

 private:
  std::filesystem::path file_;
  std::ofstream stream_;
  std::int64_t last_test_ = 0;
};

}  // namespace cifar10
