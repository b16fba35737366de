// SPDX-License-Identifier: MIT
// Draws from logits on the host. Not installed.
#pragma once

#include "counter_random.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace gatedpaths::detail {

/// A uniform number between 0 and 1, neither of which it can be: 52 bits, so
/// that the half added to them is exact.
inline double open_uniform(CounterRandom& random) {
  return (static_cast<double>(random.bits64() >> 12U) + 0.5) * 0x1.0p-52;
}

/// Standard Gumbel noise, -log(-log(u)); finite, from -3.6 to 36.8.
inline std::vector<double> gumbel_noise(CounterRandom& random, size_t count) {
  std::vector<double> noise(count);
  for (double& value : noise) {
    value = -std::log(-std::log(open_uniform(random)));
  }
  return noise;
}

inline double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// The index of the largest `values[i] + noise[i]`, but for `except`; the first
/// of equal ones.
inline int64_t argmax(
    const std::vector<double>& values,
    const std::vector<double>& noise,
    int64_t except = -1) {
  int64_t best = -1;
  double largest = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double value = values[i] + noise[i];
    if (static_cast<int64_t>(i) != except && (best < 0 || value > largest)) {
      best = static_cast<int64_t>(i);
      largest = value;
    }
  }
  return best;
}

}  // namespace gatedpaths::detail
