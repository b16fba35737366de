// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>

namespace gatedpaths::detail {

/// The memory of a forward's arguments, for what it returns to be kept out of.
class GATEDPATHS_EXPORT InputMemory {
 public:
  /// Adds the memory of `tensor`, if it is defined.
  void add(const at::Tensor& tensor);

  /// `output`, or a copy of it where it lies in the memory of an argument.
  at::Tensor apart(const at::Tensor& output) const;

 private:
  c10::SmallVector<const void*, 2> memories_;
};

/// `output`, or a copy of it where it lies in the memory of `input`.
inline at::Tensor apart_from(
    const at::Tensor& input, const at::Tensor& output) {
  InputMemory memory;
  memory.add(input);
  return memory.apart(output);
}

}  // namespace gatedpaths::detail
