// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include "counter_random.hpp"

#include <cstdint>
#include <vector>

namespace gatedpaths::detail {

/// Draws one of the sets of `min_open` to `max_open` of `branches` branches,
/// each with the same probability, and writes it to `open`, ascending.
///
/// The size is drawn in proportion to the number of sets of that size, then the
/// set by Floyd's algorithm (Bentley and Floyd, CACM 30(9), 1987): time in the
/// number of open branches, plus `max_open - min_open`.
GATEDPATHS_EXPORT void draw_open_set(
    CounterRandom& random,
    int64_t branches,
    int64_t min_open,
    int64_t max_open,
    std::vector<int64_t>& open);

}  // namespace gatedpaths::detail
