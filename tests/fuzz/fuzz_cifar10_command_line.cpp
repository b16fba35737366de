// SPDX-License-Identifier: MIT
// Command lines, one word a line: an exit status with its words, or options
// within their bounds, which the same options as flags give again.
#include "command_line.hpp"
#include "harnesses.hpp"
#include "input.hpp"
#include "promise.hpp"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace gatedpaths::fuzz {
namespace {

using cifar10::Options;
using Words = std::vector<std::string>;

struct Parsed {
  explicit Parsed(const Words& words)
      : status(cifar10::parse_command_line(words, options, out, err)) {}

  Options options;
  std::ostringstream out;
  std::ostringstream err;
  std::optional<int> status;
};

bool is_within(std::int64_t value, std::int64_t least, std::int64_t most) {
  return least <= value && value <= most;
}

void require_bounds(const Options& options) {
  constexpr std::int64_t kMost = 1000000;
  require(
      is_within(options.paths, 1, kMost) &&
          is_within(options.width, 1, kMost) &&
          is_within(options.epochs, 1, kMost) &&
          is_within(options.batch_size, 1, kMost) &&
          is_within(options.test_every, 1, kMost) &&
          is_within(options.threads, 1, 1024) && options.data.limit >= 0,
      "whole numbers in their bounds");
  require(
      options.lr > 0 && std::isfinite(options.lr) && options.momentum >= 0 &&
          options.momentum < 1 && options.weight_decay >= 0 &&
          std::isfinite(options.weight_decay),
      "numbers in their bounds");
  require(!options.resume || !options.checkpoint.empty(), "--resume of a file");
  require(!options.resume || !options.overwrite, "one of the two");
  require(
      options.derive.empty() || !options.path.empty(), "--derive of a path");
}

/// The options as flags.
Words flags_of(const Options& options) {
  Words words;
  const auto add = [&words](const char* flag, const auto& value) {
    words.push_back(fmt::format("{}={}", flag, value));
  };
  add("--limit", options.data.limit);
  add("--paths", options.paths);
  add("--width", options.width);
  add("--skip", options.skip == Skip::kZeroFill ? "zero-fill" : "no-grad");
  add("--form", options.form == cifar10::Form::kSlots ? "slots" : "dense");
  add("--epochs", options.epochs);
  add("--batch-size", options.batch_size);
  add("--lr", options.lr);
  add("--momentum", options.momentum);
  add("--weight-decay", options.weight_decay);
  add("--seed", options.seed);
  add("--test-every", options.test_every);
  add("--threads", options.threads);
  add("--device", options.device);
  const auto add_text = [&](const char* flag, const std::string& value) {
    if (!value.empty()) {
      words.emplace_back(flag);
      words.push_back(value);
    }
  };
  add_text("--data", options.data.folder.string());
  add_text("--path", options.path);
  add_text("--derive", options.derive.string());
  add_text("--checkpoint", options.checkpoint.string());
  add_text("--metrics", options.metrics.string());
  if (options.data.download) {
    words.emplace_back("--download");
    add_text("--download-url", options.data.archive.url);
    add_text("--download-md5", options.data.archive.md5);
  }
  for (const auto& [flag, is_set] :
       {std::pair("--resume", options.resume),
        std::pair("--overwrite", options.overwrite)}) {
    if (is_set) {
      words.emplace_back(flag);
    }
  }
  return words;
}

}  // namespace

void cifar10_command_line(Bytes bytes) {
  Input input(bytes);
  Words words;
  while (!input.empty()) {
    words.push_back(input.text());
  }
  const Parsed parsed(words);
  const auto err = parsed.err.str();
  if (parsed.status) {
    require(*parsed.status == 0 || *parsed.status == 2, "0 or 2");
    require(
        (*parsed.status == 0) == err.empty() &&
            (*parsed.status == 0) == !parsed.out.str().empty(),
        "the help, or an error");
    require(err.empty() || err.starts_with("cifar10: "), "whose error it is");
    return;
  }
  require(err.empty() && parsed.out.str().empty(), "no words of a good line");
  require_bounds(parsed.options);
  const auto flags = flags_of(parsed.options);
  const Parsed again(flags);
  require(!again.status, "its options as flags, got: " + again.err.str());
  require(flags_of(again.options) == flags, "the same options");
}

}  // namespace gatedpaths::fuzz
