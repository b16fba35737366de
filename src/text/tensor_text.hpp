// SPDX-License-Identifier: MIT
// How tensors stand in messages. Not installed.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>
#include <c10/util/ArrayRef.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>

namespace gatedpaths::detail {

/// `[2, 3]`.
inline std::string sizes_text(c10::IntArrayRef sizes) {
  return fmt::format("[{}]", fmt::join(sizes, ", "));
}

/// `[2, 3] Float`, or `an undefined tensor`.
inline std::string tensor_text(const at::Tensor& tensor) {
  return !tensor.defined() ? "an undefined tensor"
                           : fmt::format(
                                 "{} {}",
                                 sizes_text(tensor.sizes()),
                                 c10::toString(tensor.scalar_type()));
}

}  // namespace gatedpaths::detail
