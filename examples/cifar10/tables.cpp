// SPDX-License-Identifier: MIT
#include "tables.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>

namespace cifar10 {
namespace {

constexpr auto kTitle = "test accuracy, %";

std::string percent(double share) {
  return std::isnan(share) ? "-" : fmt::format("{:.1f}", 100.0 * share);
}

std::string one_table(
    std::span<const PathAccuracy> results,
    const ClassNames& classes,
    std::size_t first,
    std::size_t column) {
  auto text = fmt::format("{:<{}}", kTitle, first);
  for (const auto& result : results) {
    text += fmt::format("  {:>{}}", result.path, column);
  }
  const auto row = [&](const std::string& name, auto value) {
    text += fmt::format("\n{:<{}}", name, first);
    for (const auto& result : results) {
      text += fmt::format("  {:>{}}", percent(value(result)), column);
    }
  };
  for (std::size_t i = 0; i < classes.size(); ++i) {
    row(classes[i], [i](const PathAccuracy& r) { return r.classes[i]; });
  }
  row("all classes", [](const PathAccuracy& r) { return r.accuracy; });
  return text + '\n';
}

}  // namespace

std::string accuracy_table(
    const std::vector<PathAccuracy>& results,
    const ClassNames& classes,
    std::size_t width) {
  std::size_t first = std::string_view(kTitle).size();
  for (const auto& name : classes) {
    first = std::max(first, name.size());
  }
  std::size_t column = 5;
  for (const auto& result : results) {
    column = std::max(column, result.path.size());
  }
  const auto room = width > first ? (width - first) / (column + 2) : 0;
  const auto per_table = std::max<std::size_t>(1, room);

  std::string text;
  const std::span all(results);
  for (std::size_t i = 0; i < all.size(); i += per_table) {
    const auto part = all.subspan(i, std::min(per_table, all.size() - i));
    text += i > 0 ? "\n" : "";
    text += one_table(part, classes, first, column);
  }
  return text;
}

}  // namespace cifar10
