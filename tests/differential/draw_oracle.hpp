// SPDX-License-Identifier: MIT
#pragma once

#include "differential/gated_net.hpp"
#include "differential/tree.hpp"

#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace gatedpaths::differential {

/// What a gate draws: what one of the same class, options and seed does around
/// nothing at all. What lies around and in a gate must not change its draws.
class DrawOracle {
 public:
  explicit DrawOracle(const Node& node);

  /// The branches that a training forward runs.
  std::vector<int64_t> open_branches();

  /// The rows that a `StochasticDepth` keeps in a training forward; empty where
  /// its branch does not run.
  std::optional<std::vector<int64_t>> kept_rows(int64_t batch);

  /// The samples that a branch runs on, of those that are open for it.
  std::vector<std::vector<int64_t>> samples(
      const torch::Tensor& open, bool training);

  /// Where its draws stand.
  std::vector<DrawState> states() const;
  void set_states(const std::vector<DrawState>& states);

 private:
  Tree tree_;
  GatedNet net_;
  GatedModule* gate_;
};

/// Where the draws of a gate stand, of each kind that it has.
std::vector<DrawState> draw_states_of(GatedModule& gate);

}  // namespace gatedpaths::differential
