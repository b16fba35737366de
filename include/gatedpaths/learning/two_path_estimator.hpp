// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/learning/path_estimator.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <vector>

namespace gatedpaths {

/// Binary gates with two paths (Cai et al., "ProxylessNAS", arXiv:1812.00332,
/// sections 3.2.1 and 3.3). Two branches of each reached gate run, one of them
/// without a graph.
///
/// Two different branches are drawn, one after the other, by the softmax
/// probabilities, and of these the active one by q = softmax of their two
/// logits. The forward gives its output, unchanged. The other branch runs
/// without a graph and without a trace: its gradients stay undefined, buffers
/// and random streams untouched. The backward is that of q_i * out_i + q_j *
/// out_j, so that these two logits get
/// dL/dlogit_i = q_i * q_j * (<g, out_i> - <g, out_j>) and its negative.
///
/// `finish_step`, after the optimizer's step, adds one number to the logits of
/// the two so that the sum of their exponentials is what it was before, and
/// gives all other logits their values from before, whatever momentum or decay
/// did to them: the other branches keep their probabilities. Where several
/// `apply` come before the step, this holds for all branches drawn in them
/// together. The optimizer should have no momentum (the paper: Adam with beta1
/// = 0), since it would be thrown away for most logits.
///
/// From before is from before `objective`: logits that you set after `apply`
/// and before that are kept, and a gate that no gradient came to is left as it
/// is. What you set later is taken for the optimizer's step.
///
/// Gates inside the second branch are set too, by their probabilities; their
/// logits get no gradient. Logits that do not require grad, or a forward
/// without grad mode, run one branch alone.
///
/// Biased, but for two branches and a loss that is linear in the output: a
/// larger choice is judged by pairs, without the share that each has in the
/// whole, and the loss by its slope at the active branch. Measured as for
/// `GumbelEstimator`, the mean estimate is 0.65 of the exact gradient's norm
/// away from it; for one block of three and a linear loss, 0.20.
///
/// The gradient of the logits can be differentiated once: to differentiate it
/// again would need the second branch's graph.
///
/// Throws, in the backward of a backward that reaches the logits: `c10::Error`.
/// In `save`: `c10::Error` where `finish_step` was not called since the
/// last `apply`.
///
/// Example:
/// ```
/// gatedpaths::TwoPathEstimator estimator(logits, space, /*seed=*/3);
/// torch::optim::Adam architecture(
///     logits->parameters(),
///     torch::optim::AdamOptions(6e-3).betas({0.0, 0.999}));
/// ```
class GATEDPATHS_EXPORT TwoPathEstimator : public PathEstimator {
 public:
  /// Learns `logits` over the paths of `space`; `seed` names the draws.
  ///
  /// Throws: `c10::ValueError` for a gate that is not a `ChoiceBlock` with one
  /// open branch and zeros for closed ones or that draws by itself, an empty
  /// holder, or logits of another space.
  TwoPathEstimator(PathLogits logits, PathSpace space, uint64_t seed);

  /// The loss itself. From here on, changes of the logits count as those of
  /// their optimizer.
  ///
  /// Throws: `c10::ValueError` for a loss of more than one element.
  torch::Tensor objective(const torch::Tensor& loss) override;

  void finish_step() override;

  /// 2; 1 for a gate of one branch.
  int64_t branches_run(int64_t gate) const override;

 private:
  struct Touched {
    torch::Tensor before;    // the logits at the first draw, or set since then
    int64_t version = 0;     // of the logits then
    torch::Tensor gradient;  // theirs at the first draw
    int64_t gradient_version = 0;
    bool asked = false;             // objective was called since
    std::vector<int64_t> branches;  // ascending
  };

  Draw draw(
      const std::vector<std::vector<double>>& values, uint64_t step) override;
  void touch(int64_t gate, int64_t branch);
  bool may_have_moved(int64_t gate, const Touched& touched) const;
  void check_between_steps() const override;
  void forget_step() noexcept override { touched_.clear(); }

  std::map<int64_t, Touched> touched_;  // by gate, since the last finish_step
};

}  // namespace gatedpaths
