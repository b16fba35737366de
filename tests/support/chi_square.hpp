// SPDX-License-Identifier: MIT
// Pearson's test of observed counts.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace gatedpaths::test {

/// Pearson's statistic of `counts` against `probabilities`, as the number of
/// standard deviations of the normal distribution that is as unlikely (Wilson
/// and Hilferty's cube root). Below 4 unless the law is another one.
inline double deviations(
    const std::vector<int64_t>& counts,
    const std::vector<double>& probabilities) {
  double draws = 0;
  for (const int64_t count : counts) {
    draws += static_cast<double>(count);
  }
  double statistic = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const double expected = draws * probabilities[i];
    const double distance = static_cast<double>(counts[i]) - expected;
    statistic += distance * distance / expected;
  }
  const double freedom = static_cast<double>(counts.size()) - 1;
  const double part = 2 / (9 * freedom);
  return (std::cbrt(statistic / freedom) - (1 - part)) / std::sqrt(part);
}

/// The same against equal probabilities.
inline double deviations_from_uniform(const std::vector<int64_t>& counts) {
  const auto size = static_cast<double>(counts.size());
  return deviations(counts, std::vector<double>(counts.size(), 1 / size));
}

}  // namespace gatedpaths::test
