// SPDX-License-Identifier: MIT
// Numbers that are made on the host for a device. Not installed.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

namespace gatedpaths::detail {

/// Memory on the host for what goes to `device` without a wait: from pageable
/// memory, copying to a GPU would wait for it.
inline at::Tensor host_memory(
    c10::IntArrayRef sizes, at::ScalarType dtype, at::Device device) {
  return at::empty(
      sizes, at::TensorOptions().dtype(dtype).pinned_memory(device.is_cuda()));
}

/// What `host_memory` gave, once it is filled, on `device`.
inline at::Tensor send(
    const at::Tensor& on_host, at::Device device, at::ScalarType dtype) {
  return on_host.to(device, dtype, /*non_blocking=*/device.is_cuda());
}

}  // namespace gatedpaths::detail
