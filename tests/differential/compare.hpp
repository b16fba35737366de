// SPDX-License-Identifier: MIT
// How two tensors differ, as text; empty where they do not.
#pragma once

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>

#include "support/tensors.hpp"

namespace gatedpaths::differential {

/// What rounding in another order may do, for numbers of the order of 1. A
/// wrong branch is of that order itself.
inline double tolerance_of(torch::ScalarType dtype) {
  switch (dtype) {
    case torch::kDouble:
      return 1e-9;
    case torch::kFloat:
      return 2e-3;
    default:
      return 0.15;
  }
}

inline std::string text_of(const torch::Tensor& tensor) {
  std::ostringstream out;
  if (!tensor.defined()) {
    return "nothing";
  }
  out << tensor.scalar_type() << " of " << tensor.sizes();
  if (tensor.numel() <= 64) {
    out << ":\n" << tensor.detach();
  }
  return out.str();
}

/// The largest finite value, at least 1.
inline double scale_of(const torch::Tensor& tensor) {
  if (!tensor.defined() || tensor.numel() == 0) {
    return 1;
  }
  const auto values = tensor.detach().to(torch::kDouble).nan_to_num(0, 0, 0);
  return std::max(1.0, values.abs().max().item<double>());
}

/// Empty for tensors that differ by no more than `tolerance`, for those that
/// are infinite or NaN in the same places, and for those of no values.
inline std::string difference(
    const torch::Tensor& actual,
    const torch::Tensor& expected,
    double tolerance) {
  const auto both = [&] {
    return "expected " + text_of(expected) + "\ngot " + text_of(actual);
  };
  if (!actual.defined() || !expected.defined()) {
    return actual.defined() == expected.defined() ? "" : both();
  }
  if (actual.sizes() != expected.sizes() ||
      actual.scalar_type() != expected.scalar_type()) {
    return both();
  }
  if (actual.numel() == 0) {
    return "";
  }
  const auto a = actual.detach().to(torch::kDouble);
  const auto e = expected.detach().to(torch::kDouble);
  return torch::allclose(
             a,
             e,
             /*rtol=*/0,
             tolerance,
             /*equal_nan=*/true)
             ? ""
             : both();
}

inline std::string bit_difference(
    const torch::Tensor& actual, const torch::Tensor& expected) {
  return test::bit_equal(actual, expected)
             ? ""
             : "expected the same bits\n" + text_of(expected) + "\ngot " +
                   text_of(actual);
}

}  // namespace gatedpaths::differential
