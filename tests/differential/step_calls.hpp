// SPDX-License-Identifier: MIT
// In which form each gate is called in a step, and with which gates for each
// sample: functions of the step's seed, so that a gate can be asked anywhere.
#pragma once

#include "differential/dice.hpp"
#include "differential/tree.hpp"

#include <torch/types.h>

#include <cstdint>

namespace gatedpaths::differential {

/// One step's forms of calling gates.
struct StepCalls {
  uint64_t seed = 0;
  double by_samples = 0;          ///< How many of the gates that may be, are.
  torch::Tensor fixed_open = {};  ///< Where defined, what all of them get.

  bool is_by_samples(const Node& node) const {
    return fixed_open.defined() ||
           (node.by_samples && dice(node, 1).chance(by_samples));
  }

  /// Whether a dense concatenation is asked for by way of slots.
  bool is_by_slots(const Node& node) const { return dice(node, 2).chance(0.5); }

  /// The gates for each sample: `[batch]` for a `GatedBranch`, else
  /// `[batch, branches]`, within the bounds.
  torch::Tensor open(const Node& node, int64_t batch) const;

 private:
  Dice dice(const Node& node, uint64_t what) const {
    return Dice(mixed({seed, static_cast<uint64_t>(node.id), what}));
  }
};

/// The second argument of a branch with `Node::pairs`, which has no samples.
inline torch::Tensor pair_factors(const torch::Tensor& input) {
  return torch::full({1}, 0.5, input.options().requires_grad(false));
}

}  // namespace gatedpaths::differential
