// SPDX-License-Identifier: MIT
#include "cost_units.hpp"

#include <algorithm>
#include <cmath>

namespace gatedpaths::detail {

double unit_of(CostKind kind) noexcept {
  return kind == CostKind::kLatency ? 1e-15 : 1;
}

int64_t whole_cost(const PathCost& cost, CostKind kind) noexcept {
  switch (kind) {
    case CostKind::kMacs:
      return cost.macs;
    case CostKind::kFlops:
      return cost.flops;
    case CostKind::kParameters:
      return cost.parameters;
    case CostKind::kParameterBytes:
      return cost.parameter_bytes;
    case CostKind::kActivationBytes:
      return cost.activation_bytes;
    case CostKind::kLatency:
      break;
  }
  return std::llround(cost.latency / unit_of(kind));
}

int64_t whole_limit(double at_most, CostKind kind) noexcept {
  // Of a latency the nearest, as of costs: what equals a limit keeps it.
  const double units = at_most / unit_of(kind);
  const double whole =
      kind == CostKind::kLatency ? std::round(units) : std::floor(units);
  return static_cast<int64_t>(
      std::clamp(whole, -2 * kMostUnits, 2 * kMostUnits));
}

}  // namespace gatedpaths::detail
