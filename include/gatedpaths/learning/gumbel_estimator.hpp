// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/learning/path_estimator.hpp>

#include <torch/arg.h>

#include <cstdint>
#include <vector>

namespace gatedpaths {

/// Options of `GumbelEstimator`.
class GumbelOptions {
  /// The temperature of the softmax that gradients go through; above 0. The
  /// smaller, the closer is it to the choice, and the larger is the variance.
  /// Default: 1. See `GumbelEstimator::set_temperature`.
  TORCH_ARG(double, temperature) = 1;
};

/// Gumbel-softmax with hard choices and straight-through gradients (Jang et
/// al., arXiv:1611.01144; Maddison et al., arXiv:1611.00712), of which only the
/// chosen branch runs (Dong and Yang, "GDAS", arXiv:1910.04465). One branch of
/// each reached gate runs.
///
/// With Gumbel noise G, branch i = argmax(logits + G) runs, so that i has the
/// softmax probabilities whatever the temperature t is. The forward gives its
/// output, unchanged; the backward is that of y_i * out_i, where y =
/// softmax((logits + G) / t): the gradient of PyTorch's
/// `gumbel_softmax(logits, t, hard=True)[i] * out_i`, given the same noise, and
/// so are all further derivatives.
///
/// Biased: y stands in for a step function, and the branches that did not run
/// count as if their outputs were zero, so that the part of <g, out_k> that all
/// branches have in common does not cancel as it does in the exact gradient.
/// Measured against the gradient of the expected loss, for the two blocks of
/// `tests/unit/learning/test_estimator_bias.cpp` at temperature 1, the mean
/// estimate is 0.85 of the exact gradient's norm away from it. Choose
/// `ReinforceEstimator` where that matters.
///
/// Example:
/// ```
/// gatedpaths::GumbelEstimator estimator(
///     logits, space, /*seed=*/3, gatedpaths::GumbelOptions().temperature(5));
/// estimator.set_temperature(std::max(0.5, 5 * std::pow(0.95, epoch)));
/// ```
class GATEDPATHS_EXPORT GumbelEstimator : public PathEstimator {
 public:
  /// Learns `logits` over the paths of `space`; `seed` names the draws.
  ///
  /// Throws: `c10::ValueError` for a temperature that is not above 0 and
  /// finite, a gate that is not a `ChoiceBlock` with one open branch and zeros
  /// for closed ones or that draws by itself, an empty holder, or logits of
  /// another space.
  GumbelEstimator(
      PathLogits logits,
      PathSpace space,
      uint64_t seed,
      const GumbelOptions& options = {});

  /// 1.
  int64_t branches_run(int64_t gate) const override;

  /// The temperature of the next steps; saved with the estimator.
  double temperature() const noexcept { return temperature_; }

  /// Sets it, as a schedule says.
  ///
  /// Throws: `c10::ValueError` unless it is above 0 and finite.
  void set_temperature(double value);

 private:
  Draw draw(
      const std::vector<std::vector<double>>& values, uint64_t step) override;
  Numbers numbers() const override;
  void check_numbers(const Numbers& saved) const override;
  void set_numbers(const Numbers& saved) override;

  double temperature_;
};

}  // namespace gatedpaths
