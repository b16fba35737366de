// SPDX-License-Identifier: MIT
// Not installed.
#pragma once

#include <gatedpaths/gates/gated_module.hpp>

#include <string_view>

namespace gatedpaths::detail {

/// The `GateFilter` of a space that leaves no gate out.
inline bool every_gate(std::string_view /*name*/, const GatedModule& /*gate*/) {
  return true;
}

}  // namespace gatedpaths::detail
