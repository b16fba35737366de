// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/input_memory.hpp>

#include "tensor_memory.hpp"

#include <algorithm>

namespace gatedpaths::detail {
namespace {

// Of a tensor without a storage, the tensor itself.
const void* memory_key(const at::Tensor& tensor) {
  const void* storage = storage_of(tensor);
  return storage != nullptr ? storage : tensor.unsafeGetTensorImpl();
}

}  // namespace

void InputMemory::add(const at::Tensor& tensor) {
  if (tensor.defined()) {
    memories_.push_back(memory_key(tensor));
  }
}

at::Tensor InputMemory::apart(const at::Tensor& output) const {
  const bool shares =
      output.defined() &&
      std::find(memories_.begin(), memories_.end(), memory_key(output)) !=
          memories_.end();
  return shares ? output.clone() : output;
}

}  // namespace gatedpaths::detail
