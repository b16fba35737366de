// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace gatedpaths::detail {

/// A branch as messages name it.
struct GATEDPATHS_EXPORT BranchLabel {
  std::string_view gate_kind;  // as "ConcatGate"
  int64_t index = 0;
  std::string_view name;

  /// `branch 2 ('conv5')`.
  std::string text() const;
};

}  // namespace gatedpaths::detail
