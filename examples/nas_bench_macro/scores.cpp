// SPDX-License-Identifier: MIT
#include "scores.hpp"

#include "net.hpp"

#include <gatedpaths/exchange/checkpoint.hpp>

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <fstream>
#include <optional>
#include <string_view>
#include <system_error>

namespace nas_bench_macro {
namespace {

/// Takes a number and what stands before the next one off the text.
std::optional<double> take_number(std::string_view& text) {
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !std::isfinite(number)) {
    return std::nullopt;
  }
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

bool take_space(std::string_view& text) {
  const bool is_there = text.starts_with(' ');
  text.remove_prefix(is_there ? 1 : 0);
  return is_there;
}

std::optional<Score> parse(std::string_view line) {
  if (line.size() <= static_cast<std::size_t>(kBlocks) ||
      !is_architecture(line.substr(0, kBlocks))) {
    return std::nullopt;
  }
  auto rest = line.substr(kBlocks);
  if (!take_space(rest)) {
    return std::nullopt;
  }
  const auto accuracy = take_number(rest);
  if (!accuracy || *accuracy < 0 || *accuracy > 1 || !take_space(rest)) {
    return std::nullopt;
  }
  const auto loss = take_number(rest);
  return loss && rest.empty() ? std::optional(Score{*accuracy, *loss})
                              : std::nullopt;
}

}  // namespace

void write_scores(
    const std::filesystem::path& file,
    const std::vector<std::string>& notes,
    const Scores& scores) {
  std::string text;
  for (const auto& note : notes) {
    text += "# " + note + '\n';
  }
  for (const auto& [net, score] : scores) {
    // As short as they are exact.
    text += fmt::format("{} {} {}\n", net, score.accuracy, score.loss);
  }
  gatedpaths::save_atomically(file, [&](const gatedpaths::ByteSink& sink) {
    sink(text.data(), text.size());
  });
}

Scores read_scores(
    const std::filesystem::path& file, std::vector<std::string>& notes) {
  std::ifstream stream(file);
  TORCH_CHECK(
      stream,
      fmt::format(
          "expected a ranking that can be read, got '{}'", file.string()));
  Scores scores;
  notes.clear();
  for (std::string line; std::getline(stream, line);) {
    if (line.starts_with('#')) {
      notes.push_back(line.substr(line.starts_with("# ") ? 2 : 1));
      continue;
    }
    const auto score = parse(line);
    TORCH_CHECK_VALUE(
        score,
        fmt::format(
            "'{}': expected a net, its accuracy from 0 to 1 and its loss a "
            "line, got '{}'",
            file.string(),
            line.substr(0, 100)));
    const bool is_new = scores.emplace(line.substr(0, kBlocks), *score).second;
    TORCH_CHECK_VALUE(
        is_new,
        fmt::format(
            "'{}': expected each net once, got '{}' twice",
            file.string(),
            line.substr(0, kBlocks)));
  }
  TORCH_CHECK_VALUE(
      !scores.empty(),
      fmt::format("'{}': expected a line a net, got none", file.string()));
  return scores;
}

}  // namespace nas_bench_macro
