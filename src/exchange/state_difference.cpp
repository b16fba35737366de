// SPDX-License-Identifier: MIT
#include "state_difference.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace gatedpaths::detail {

void StateDifference::unlike(
    std::string_view kind,
    std::string_view name,
    std::string_view expected,
    std::string_view got) {
  unlike_.push_back(
      fmt::format("{} '{}': expected {}, got {}", kind, name, expected, got));
}

void StateDifference::check(std::string_view function) const {
  std::vector<std::string> parts = unlike_;
  const auto list = [&parts](const char* kind, const auto& names) {
    if (!names.empty()) {
      parts.push_back(fmt::format("{} '{}'", kind, fmt::join(names, "', '")));
    }
  };
  list("missing", missing_);
  list("unexpected", unexpected_);
  TORCH_CHECK_VALUE(
      parts.empty(), function, ": ", fmt::format("{}", fmt::join(parts, "; ")));
}

}  // namespace gatedpaths::detail
