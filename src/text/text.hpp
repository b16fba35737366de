// SPDX-License-Identifier: MIT
// How lists of names and numbers stand in messages. Not installed.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <iterator>
#include <string>

namespace gatedpaths::detail {

// Longer lists are cut: a gate may have thousands of branches.
inline constexpr size_t kListedAtMost = 16;

/// `format` applied to each of `items`, between commas.
template <class Items, class Format>
std::string listed(const Items& items, Format format) {
  std::string text;
  size_t count = 0;
  for (const auto& item : items) {
    if (count == kListedAtMost) {
      fmt::format_to(
          std::back_inserter(text),
          ", and {} more",
          static_cast<size_t>(std::size(items)) - count);
      break;
    }
    text += count == 0 ? "" : ", ";
    text += format(item);
    ++count;
  }
  return text;
}

/// `'a', 'b'`.
template <class Names>
std::string quoted(const Names& names) {
  return listed(
      names, [](const auto& name) { return fmt::format("'{}'", name); });
}

/// `0, 1`.
template <class Numbers>
std::string numbers(const Numbers& items) {
  return listed(items, [](auto item) { return fmt::format("{}", item); });
}

}  // namespace gatedpaths::detail
