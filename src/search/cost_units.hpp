// SPDX-License-Identifier: MIT
// Costs in whole units, in which paths are counted. Not installed.
#pragma once

#include <gatedpaths/search/path_cost.hpp>

#include <cstdint>

namespace gatedpaths::detail {

/// All that a space costs together is below this, so that sums and differences
/// of what paths cost fit 64 bits.
inline constexpr double kMostUnits = 0x1.0p61;

/// How much of a kind one unit is: a femtosecond of latency, one of all else.
double unit_of(CostKind kind) noexcept;

/// The cost in units, the nearest number for a latency.
///
/// Expects less than `kMostUnits`.
int64_t whole_cost(const PathCost& cost, CostKind kind) noexcept;

/// The greatest cost in units that a limit admits; 2^62 where it is that or
/// more, and -2^62 likewise.
int64_t whole_limit(double at_most, CostKind kind) noexcept;

}  // namespace gatedpaths::detail
