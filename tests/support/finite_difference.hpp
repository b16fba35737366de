// SPDX-License-Identifier: MIT
// Gradients held against central differences.
#pragma once

#include <c10/core/GradMode.h>
#include <torch/types.h>

#include <cmath>
#include <cstdint>
#include <functional>

namespace gatedpaths::test {

/// The largest difference between the gradient that `variable.grad()` holds and
/// the central differences of `loss`, which reads `variable`. In double the
/// error of a smooth loss of the order of 1 is under 1e-8.
inline double gradient_error(
    const std::function<torch::Tensor()>& loss, const torch::Tensor& variable) {
  constexpr double kStep = 1e-5;
  const torch::NoGradGuard no_grad;
  const auto values = variable.detach().view({-1});
  const auto gradient = variable.grad().reshape({-1});
  double largest = 0;
  for (int64_t i = 0; i < values.numel(); ++i) {
    const double at = values[i].item<double>();
    values[i] = at + kStep;
    const double above = loss().item<double>();
    values[i] = at - kStep;
    const double below = loss().item<double>();
    values[i] = at;
    const double difference =
        gradient[i].item<double>() - (above - below) / (2 * kStep);
    largest = std::max(largest, std::abs(difference));
  }
  return largest;
}

}  // namespace gatedpaths::test
