// SPDX-License-Identifier: MIT
// What values paths will have, from those of others. Not installed.
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/space_layout.hpp>

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>

#include <vector>

namespace gatedpaths::detail {

/// Paths as rows, `[paths, features]` in double, whose products are how alike
/// two paths are, from 0 to 1: the mean over the gates of the cosine of their
/// open sets; of two gates that no branch of is open, or that are both not
/// reached, 1.
GATEDPATHS_EXPORT at::Tensor path_features(
    const SpaceLayout& layout, c10::ArrayRef<Path> paths);

/// The values' normal scores: what a sample of their number from the standard
/// normal law has at their ranks (Blom's positions less one half); equal values
/// have the mean rank. So that a few values far off do not matter.
GATEDPATHS_EXPORT std::vector<double> normal_scores(
    const std::vector<double>& values);

/// Regression by a Gaussian process (Rasmussen and Williams, 2006, algorithm
/// 2.1), whose covariance is `exp(-decay * (1 - likeness))`, plus noise. Decay
/// and noise are those of a grid with the largest likelihood, the process's
/// variance the one that is likeliest with them.
class GATEDPATHS_EXPORT PathRegression {
 public:
  /// `targets`: `[paths]` in double, of mean 0.
  PathRegression(at::Tensor features, at::Tensor targets);

  /// What to expect of others: `[paths]` each.
  struct Prediction {
    at::Tensor mean;
    at::Tensor deviation;
  };
  Prediction predict(const at::Tensor& features) const;

  /// Takes paths as known, with the values that are expected: what is like them
  /// is less uncertain from then on.
  void believe(const at::Tensor& features);

 private:
  double fit(double decay, double noise);

  at::Tensor features_;
  at::Tensor targets_;
  double decay_ = 0;
  double noise_ = 0;
  double variance_ = 0;
  at::Tensor factor_;   // Cholesky's, of the covariance over the variance
  at::Tensor weights_;  // its inverse times the targets
};

/// By how much a value is expected to be above `best` (Jones et al., 1998).
GATEDPATHS_EXPORT at::Tensor expected_improvement(
    const PathRegression::Prediction& prediction, double best);

}  // namespace gatedpaths::detail
