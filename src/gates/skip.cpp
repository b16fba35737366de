// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/skip.hpp>

namespace gatedpaths {

std::string_view to_string(Skip skip) noexcept {
  return skip == Skip::kZeroFill ? "kZeroFill" : "kNoGrad";
}

std::string_view to_string(ClosedValue value) noexcept {
  return value == ClosedValue::kZeros ? "kZeros" : "kDetached";
}

std::ostream& operator<<(std::ostream& stream, Skip skip) {
  return stream << to_string(skip);
}

std::ostream& operator<<(std::ostream& stream, ClosedValue value) {
  return stream << to_string(value);
}

}  // namespace gatedpaths
