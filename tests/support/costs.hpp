// SPDX-License-Identifier: MIT
// Models of costs that are made up.
#pragma once

#include <gatedpaths/paths/space_layout.hpp>
#include <gatedpaths/search/cost_model.hpp>
#include <gatedpaths/search/path_cost.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace gatedpaths::test {

/// A model in which a branch costs `cost(gate, branch)`.
inline CostModel made_up_costs(
    std::shared_ptr<const SpaceLayout> layout,
    const std::function<PathCost(int64_t, int64_t)>& cost,
    const PathCost& outside = {}) {
  std::vector<std::vector<PathCost>> costs;
  for (int64_t gate = 0; gate < layout->num_gates(); ++gate) {
    auto& of_gate = costs.emplace_back();
    const auto branches =
        static_cast<int64_t>(layout->gate(gate).branch_names.size());
    for (int64_t branch = 0; branch < branches; ++branch) {
      of_gate.push_back(cost(gate, branch));
    }
  }
  return {std::move(layout), outside, std::move(costs)};
}

/// The same, of multiply-accumulates alone.
inline CostModel made_up_macs(
    std::shared_ptr<const SpaceLayout> layout,
    const std::function<int64_t(int64_t, int64_t)>& macs,
    int64_t outside = 0) {
  return made_up_costs(
      std::move(layout),
      [&](int64_t gate, int64_t branch) {
        return PathCost{.macs = macs(gate, branch)};
      },
      PathCost{.macs = outside});
}

}  // namespace gatedpaths::test
