// SPDX-License-Identifier: MIT
#pragma once

#include "differential/step_calls.hpp"
#include "differential/tree.hpp"

#include <torch/types.h>

#include <cstdint>
#include <set>

namespace gatedpaths::differential {

/// Where the values of an input lie.
enum class Layout {
  kContiguous,
  kChannelsLast,
  kBatchLast,         ///< The batch is innermost.
  kNarrowed,          ///< A part of something larger.
  kExpandedBatch,     ///< One row, as often as there are samples.
  kExpandedChannels,  ///< One channel, as often as there are.
};

enum class GradMode { kGrad, kNoGrad, kInference };

/// When gradients are made undefined.
enum class Clears { kNever, kBeforeForward, kBeforeBackward };

/// What happens in a step, as its seed says.
struct Step {
  uint64_t seed = 0;
  int64_t batch = 1;
  Layout layout = Layout::kContiguous;
  GradMode grad_mode = GradMode::kGrad;
  bool training = true;
  std::set<int64_t> other_mode;  ///< Leaves in the other mode.
  bool input_wants_grad = false;
  bool applies_path = true;
  Clears clears = Clears::kBeforeForward;
  uint64_t passes = 1;  ///< Forwards before the backward.
  bool autocast = false;
  bool second_order = false;  ///< The loss has a gradient in it.
  StepCalls calls;
};

Step random_step(const Tree& tree, uint64_t number);

/// The input of a step before it is laid out: what a backward reaches.
torch::Tensor input_leaf(const Tree& tree, const Step& step);

/// The input itself, a view of the leaf or all of it.
torch::Tensor laid_out(
    const Tree& tree, const Step& step, const torch::Tensor& leaf);

}  // namespace gatedpaths::differential
