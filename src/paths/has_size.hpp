// SPDX-License-Identifier: MIT
// Not installed.
#pragma once

#include <gatedpaths/paths/space_layout.hpp>

#include <algorithm>

namespace gatedpaths::detail {

/// Whether the number of paths, or its logarithm, is known: not where a gate
/// has several places.
inline bool has_size(const SpaceLayout& layout) {
  return std::ranges::all_of(layout.gates(), [](const GateLayout& gate) {
    return gate.places.size() <= 1;
  });
}

}  // namespace gatedpaths::detail
