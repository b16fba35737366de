// SPDX-License-Identifier: MIT
// What a tensor's memory is and whether it can be written. Not installed.
#pragma once

#include <ATen/MemoryOverlap.h>
#include <ATen/core/Tensor.h>
#include <c10/core/InferenceMode.h>

namespace gatedpaths::detail {

/// What tells one memory from another; null for a tensor without a storage,
/// such as a sparse one.
inline const void* storage_of(const at::Tensor& tensor) {
  return tensor.has_storage() ? tensor.storage().unsafeGetStorageImpl()
                              : nullptr;
}

/// Whether it is an inference tensor outside of inference mode, which LibTorch
/// does not write to.
inline bool is_locked(const at::Tensor& tensor) {
  return tensor.is_inference() && !c10::InferenceMode::is_enabled();
}

/// Whether several of its elements are one number in memory.
inline bool is_expanded(const at::Tensor& tensor) {
  return tensor.layout() == at::kStrided &&
         at::has_internal_overlap(tensor) == at::MemOverlap::Yes;
}

}  // namespace gatedpaths::detail
