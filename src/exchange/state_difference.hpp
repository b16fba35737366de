// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gatedpaths::detail {

/// How what is to be loaded differs from what a network expects.
class StateDifference {
 public:
  void missing(std::string name) { missing_.push_back(std::move(name)); }
  void unexpected(std::string name) { unexpected_.push_back(std::move(name)); }
  /// `kind`: what is so called, such as `parameter`.
  void unlike(
      std::string_view kind,
      std::string_view name,
      std::string_view expected,
      std::string_view got);

  /// Whether there is none.
  bool is_empty() const {
    return missing_.empty() && unexpected_.empty() && unlike_.empty();
  }

  /// Throws a `c10::ValueError` that lists every difference, where there is
  /// one: `load_checked: parameter 'a': expected [2] Float, got [3] Float;
  /// missing 'b', 'c'; unexpected 'd'`.
  void check(std::string_view function) const;

 private:
  std::vector<std::string> missing_;
  std::vector<std::string> unexpected_;
  std::vector<std::string> unlike_;
};

}  // namespace gatedpaths::detail
