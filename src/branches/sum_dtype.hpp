// SPDX-License-Identifier: MIT
#pragma once

#include <c10/core/ScalarType.h>

namespace gatedpaths::detail {

/// The dtype in which several tensors of `dtype` are added up, for the sum to
/// be rounded once and to overflow only where the result does: float for half
/// and bfloat16, otherwise `dtype` itself.
inline at::ScalarType sum_dtype(at::ScalarType dtype) {
  switch (dtype) {
    case at::kHalf:
    case at::kBFloat16:
      return at::kFloat;
    case at::kComplexHalf:
      return at::kComplexFloat;
    default:
      return dtype;
  }
}

/// Whether sums of tensors of `dtype` need another one.
inline bool is_reduced(at::ScalarType dtype) {
  return sum_dtype(dtype) != dtype;
}

}  // namespace gatedpaths::detail
