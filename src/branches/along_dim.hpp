// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/WrapDimMinimal.h>
#include <c10/util/DimVector.h>

#include <cstddef>
#include <cstdint>

namespace gatedpaths::detail {

/// A vector as a view that broadcasts along `dim` of a tensor of `dims` dims.
inline at::Tensor along_dim(
    const at::Tensor& vector, int64_t dim, int64_t dims) {
  c10::DimVector shape(static_cast<size_t>(dims), 1);
  shape[static_cast<size_t>(c10::maybe_wrap_dim(dim, dims))] = -1;
  return vector.view(shape);
}

}  // namespace gatedpaths::detail
