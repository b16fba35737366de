// SPDX-License-Identifier: MIT
#include "cost_table.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace gatedpaths::detail {
namespace {

void check_finite_cost(
    std::string_view function, std::string_view part, const PathCost& cost) {
  for (const double value : {cost.latency, cost.latency_spread}) {
    TORCH_CHECK_VALUE(
        std::isfinite(value),
        fmt::format(
            "{}: expected finite costs, got a latency of {} (spread {}) for {}",
            function,
            cost.latency,
            cost.latency_spread,
            part));
  }
}

// A path costs no more than all there is.
void check_sums(
    std::string_view function,
    const PathCost& outside,
    const std::vector<std::vector<PathCost>>& branches) {
  for (const CostKind kind : kCostKinds) {
    double sum = std::abs(outside.of(kind));
    for (const auto& of_gate : branches) {
      for (const PathCost& cost : of_gate) {
        sum += std::abs(cost.of(kind));
      }
    }
    TORCH_CHECK_VALUE(
        sum < 0x1.0p63,
        fmt::format(
            "{}: expected {} that fit 64 bits in all branches together, got "
            "{:.4g}",
            function,
            to_string(kind),
            sum));
  }
}

}  // namespace

bool CostTable::all_additive() const {
  return std::all_of(
      is_additive.begin(), is_additive.end(), [](bool is) { return is; });
}

void CostTable::check(
    std::string_view function, const SpaceLayout& layout) const {
  TORCH_CHECK_VALUE(
      branches.size() == layout.gates().size(),
      fmt::format(
          "{}: expected costs of {} gates, got those of {}",
          function,
          layout.num_gates(),
          branches.size()));
  check_finite_cost(function, "what is outside of all gates", outside);
  for (size_t i = 0; i < branches.size(); ++i) {
    const GateLayout& gate = layout.gates()[i];
    TORCH_CHECK_VALUE(
        branches[i].size() == gate.branch_names.size(),
        fmt::format(
            "{}: expected costs of {} branches for gate '{}', got those of {}",
            function,
            gate.branch_names.size(),
            gate.name,
            branches[i].size()));
    for (size_t b = 0; b < branches[i].size(); ++b) {
      check_finite_cost(
          function,
          fmt::format(
              "branch '{}' of gate '{}'", gate.branch_names[b], gate.name),
          branches[i][b]);
    }
  }
  check_sums(function, outside, branches);
}

void set_cost(PathCost& cost, CostKind kind, const PathCost& from) {
  switch (kind) {
    case CostKind::kMacs:
      cost.macs = from.macs;
      return;
    case CostKind::kFlops:
      cost.flops = from.flops;
      return;
    case CostKind::kParameters:
      cost.parameters = from.parameters;
      return;
    case CostKind::kParameterBytes:
      cost.parameter_bytes = from.parameter_bytes;
      return;
    case CostKind::kActivationBytes:
      cost.activation_bytes = from.activation_bytes;
      return;
    case CostKind::kLatency:
      cost.latency = from.latency;
      cost.latency_spread = from.latency_spread;
      return;
  }
}

}  // namespace gatedpaths::detail
