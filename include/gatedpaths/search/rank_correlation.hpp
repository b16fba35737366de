// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <c10/util/ArrayRef.h>
#include <torch/arg.h>

#include <cstdint>

namespace gatedpaths {

/// How well two things rank the same paths alike, with an interval for it.
struct RankCorrelation {
  double value = 0;  ///< From -1, the reverse order, to 1, the same one.
  double low = 0;    ///< The lower end of the interval.
  double high = 0;   ///< The upper end.
};

/// How the interval of a rank correlation comes about.
///
/// Example: `BootstrapOptions().resamples(200).level(0.9)`.
class BootstrapOptions {
 public:
  /// How many samples are drawn, with replacement, as large as what was given;
  /// 0 for no interval, whose ends are then nan. Default: 1000.
  TORCH_ARG(int64_t, resamples) = 1000;

  /// The part of them that the interval holds, above 0 and below 1. Default:
  /// 0.95.
  TORCH_ARG(double, level) = 0.95;

  /// Names the stream of random numbers: a draw is a function of (seed,
  /// resample) alone (Philox4x32-10). Default: 0.
  TORCH_ARG(uint64_t, seed) = 0;
};

/// Kendall's tau-b of pairs of values (Kendall, "The treatment of ties in
/// ranking problems", 1945): of the pairs of pairs that neither side ties, the
/// part that both order alike less the part that they order otherwise, scaled
/// for ties. It is what `scipy.stats.kendalltau` computes.
///
/// `supernet[i]` and `alone[i]` belong to the same path; large is good in both,
/// so that a loss has to be negated. The interval is the percentile bootstrap's
/// over the paths (Efron, 1979; ends between two samples are interpolated). It
/// says how much depends on which paths were looked at, not on the seed of the
/// training.
///
/// Nan where all values of a side are equal; samples of which that is so do not
/// count for the interval. Infinities are values like others. Takes time in n
/// log n of the number of values for each resample.
///
/// Throws: `c10::ValueError` for numbers of values that differ, fewer than two,
/// a nan, negative `resamples`, or a `level` out of its range.
///
/// Example:
/// ```
/// const auto tau = gatedpaths::kendall_tau(supernet, alone);
/// fmt::print("tau {:.2f} ({:.2f} to {:.2f})\n", tau.value, tau.low, tau.high);
/// ```
GATEDPATHS_EXPORT RankCorrelation kendall_tau(
    c10::ArrayRef<double> x,
    c10::ArrayRef<double> y,
    const BootstrapOptions& options = {});

/// Spearman's rho of pairs of values: the correlation of their ranks, of which
/// equal values share the mean (Spearman, 1904). It is what
/// `scipy.stats.spearmanr` computes; all else is as of `kendall_tau`.
GATEDPATHS_EXPORT RankCorrelation spearman_rho(
    c10::ArrayRef<double> x,
    c10::ArrayRef<double> y,
    const BootstrapOptions& options = {});

}  // namespace gatedpaths
