// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/learning/path_estimator.hpp>

#include <cstdint>
#include <vector>

namespace gatedpaths {

/// The softmax mixture of all branches (Liu et al., "DARTS",
/// arXiv:1806.09055): the reference that costs most. All N branches of every
/// gate run, forward and backward, whatever the block's bounds are, so that
/// time and memory grow with N.
///
/// After `apply`, a block in training gives the sum over k of softmax(logits)_k
/// * out_k; all parameters get gradients, and the logits get the exact gradient
/// of this loss. That is another objective than the expected loss of a path:
/// the two agree where the loss is linear in the outputs. Measured as for
/// `GumbelEstimator`, their gradients are 0.37 of the exact gradient's norm
/// apart.
///
/// The path that `apply` applies is the most probable one; it is what runs in
/// eval mode. Nothing is drawn but in `apply_plain`.
///
/// Example:
/// ```
/// gatedpaths::MixtureEstimator estimator(logits, space, /*seed=*/3);
/// estimator.apply();
/// estimator.objective(loss(net->forward(x), y)).backward();
/// ```
class GATEDPATHS_EXPORT MixtureEstimator : public PathEstimator {
 public:
  /// Learns `logits` over the paths of `space`; `seed` names the draws.
  ///
  /// Throws: `c10::ValueError` for a gate that is not a `ChoiceBlock` with one
  /// open branch and zeros for closed ones or that draws by itself, an empty
  /// holder, or logits of another space.
  MixtureEstimator(PathLogits logits, PathSpace space, uint64_t seed);

  /// All.
  int64_t branches_run(int64_t gate) const override;

 private:
  Draw draw(
      const std::vector<std::vector<double>>& values, uint64_t step) override;
};

}  // namespace gatedpaths
