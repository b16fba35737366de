// SPDX-License-Identifier: MIT
#include <gatedpaths/depth/drop_mode.hpp>

namespace gatedpaths {

std::string_view to_string(DropMode mode) noexcept {
  switch (mode) {
    case DropMode::kRow:
      return "kRow";
    case DropMode::kBatch:
      return "kBatch";
    case DropMode::kSubset:
      break;
  }
  return "kSubset";
}

std::string_view to_string(DropScale scale) noexcept {
  switch (scale) {
    case DropScale::kNone:
      return "kNone";
    case DropScale::kTrainInverse:
      return "kTrainInverse";
    case DropScale::kTrainRealised:
      return "kTrainRealised";
    case DropScale::kEval:
      break;
  }
  return "kEval";
}

std::ostream& operator<<(std::ostream& stream, DropMode mode) {
  return stream << to_string(mode);
}

std::ostream& operator<<(std::ostream& stream, DropScale scale) {
  return stream << to_string(scale);
}

}  // namespace gatedpaths
