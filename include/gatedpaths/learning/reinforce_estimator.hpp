// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/learning/path_estimator.hpp>
#include <gatedpaths/paths/path.hpp>

#include <ATen/core/Tensor.h>
#include <torch/arg.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace gatedpaths {

/// Options of `ReinforceEstimator`.
class ReinforceOptions {
  /// How much of the baseline stays when a loss comes in, in `[0, 1)`. Default:
  /// 0.9.
  TORCH_ARG(double, decay) = 0.9;
};

/// REINFORCE with a baseline (Williams, "Simple statistical gradient-following
/// algorithms", Machine Learning 8, 1992). One path runs, as the skips of the
/// gates say; works for every gate that keeps to a path, those that open any
/// number of branches included.
///
/// The path is drawn by the logits' probabilities. The gradient of
/// `objective(loss)` is (loss - baseline) * grad log p(path), whose mean is the
/// gradient of the expected loss: unbiased, since the baseline is a number that
/// the present draw has no part in. It is the moving average of the losses of
/// the draws before, `decay * baseline + (1 - decay) * loss`, started with the
/// first one, and 0 for the first draw. It makes the variance smaller. Over
/// many draws the mean agrees with the exact gradient within 4 standard errors
/// (`tests/unit/learning/test_estimator_bias.cpp`).
///
/// The logits take no part in the forward: it may run without grad mode, or in
/// training mode for a step of the weights at once. `objective` waits for the
/// device, to look at the loss.
///
/// Example:
/// ```
/// gatedpaths::ReinforceEstimator estimator(logits, space, /*seed=*/3);
/// estimator.apply();
/// torch::Tensor loss;
/// {
///   const torch::NoGradGuard no_grad;
///   loss = criterion(net->forward(x), y);
/// }
/// architecture.zero_grad();
/// estimator.objective(loss).backward();
/// architecture.step();
/// estimator.finish_step();
/// ```
class GATEDPATHS_EXPORT ReinforceEstimator : public PathEstimator {
 public:
  /// Learns `logits` over the paths of `space`; `seed` names the draws.
  ///
  /// Throws: `c10::ValueError` for a decay outside of `[0, 1)`, a gate that
  /// draws by itself, an empty holder, or logits of another space.
  ReinforceEstimator(
      PathLogits logits,
      PathSpace space,
      uint64_t seed,
      const ReinforceOptions& options = {});

  /// A scalar whose gradient with respect to the logits is the estimate; it has
  /// none with respect to the network, but that estimate has, where it is made
  /// with `create_graph`. May be called for several losses of one path, all
  /// against the same baseline. Until its backward it keeps the loss's graph.
  ///
  /// Throws: `c10::ValueError` for a loss that is not finite (the baseline is
  /// then as it was) or has more than one element; `c10::Error` where the
  /// present path is not one of `apply`, or its step is finished.
  torch::Tensor objective(const torch::Tensor& loss) override;

  /// As many as the path opens: the gate's `max_open` at most.
  int64_t branches_run(int64_t gate) const override;

  /// What losses of the present path are compared with; 0 before the first.
  double baseline() const noexcept { return baseline_.value_or(0); }

 private:
  Draw draw(
      const std::vector<std::vector<double>>& values, uint64_t step) override;
  Numbers numbers() const override;
  void check_numbers(const Numbers& saved) const override;
  void set_numbers(const Numbers& saved) override;
  std::optional<double> next_baseline() const;

  double decay_;
  std::optional<double> baseline_;
  double loss_sum_ = 0;  // of the present path
  double losses_ = 0;
  Path path_;
};

}  // namespace gatedpaths
