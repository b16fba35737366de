// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gatedpaths {

/// How a `ChoiceBlock` weighs its branches in training forwards: set by an
/// estimator, which has drawn all that is random in it
/// (`ChoiceBlock::set_weighting`, or `PathEstimator::Draw`). In eval it is not
/// looked at. The weights are computed anew in each forward, so that each has a
/// graph of its own.
///
/// Example, DARTS's mixture of all branches:
/// ```
/// block->set_weighting(std::make_shared<gatedpaths::BranchWeighting>(
///     gatedpaths::BranchWeighting{.logits = alpha}));
/// ```
struct GATEDPATHS_EXPORT BranchWeighting {
  at::Tensor logits;       ///< `[branches]`.
  at::Tensor noise{};      ///< `[branches]`, added to the logits; or undefined.
  double temperature = 1;  ///< What their sum is divided by, above 0.
  int64_t active = -1;  ///< The branch that gives the output; -1: all, mixed.
  int64_t other = -1;   ///< One more that runs, without a graph; -1: none.

  /// Whether this forward has a gradient to pass to the logits.
  bool wants_gradient() const;

  /// Differentiable: softmax((logits + noise) / temperature), of which only the
  /// active branch's is given, `[1]`, or all without one, `[branches]`. Where
  /// there is an `other`, the softmax is over these two, active first, `[2]`.
  at::Tensor weights() const;
};

}  // namespace gatedpaths
