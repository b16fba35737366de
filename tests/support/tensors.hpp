// SPDX-License-Identifier: MIT
// How tests compare tensors.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <limits>

namespace gatedpaths::test {

/// Whether two tensors are the same in every respect that a user can see, down
/// to the bits: sizes, dtype, device, and values (NaN included, and the sign of
/// zero).
inline bool bit_equal(const torch::Tensor& a, const torch::Tensor& b) {
  if (!a.defined() || !b.defined()) {
    return a.defined() == b.defined();
  }
  if (a.sizes() != b.sizes() || a.scalar_type() != b.scalar_type() ||
      a.device() != b.device()) {
    return false;
  }
  const auto bytes = [](const torch::Tensor& tensor) {
    return tensor.detach().contiguous().reshape({-1}).view(torch::kByte);
  };
  return bytes(a).equal(bytes(b));
}

/// The largest absolute difference; infinite where the sizes differ, or a value
/// is NaN, or one of the two is undefined.
inline double largest_difference(
    const torch::Tensor& a, const torch::Tensor& b) {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  if (!a.defined() || !b.defined() || a.sizes() != b.sizes()) {
    return kInfinite;
  }
  if (a.numel() == 0) {
    return 0;
  }
  const auto difference =
      (a.detach().to(torch::kDouble) - b.detach().to(torch::kDouble)).abs();
  const double largest = difference.max().item<double>();
  return largest == largest ? largest : kInfinite;
}

/// Whether a tensor is defined and all of it is zero.
inline bool all_zero(const torch::Tensor& tensor) {
  return tensor.defined() && tensor.detach().eq(0).all().item<bool>();
}

}  // namespace gatedpaths::test
