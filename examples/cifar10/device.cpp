// SPDX-License-Identifier: MIT
#include "device.hpp"

#include <c10/util/Exception.h>
#include <torch/cuda.h>
#include <torch/types.h>

namespace cifar10 {

void require_device(const std::string& name) {
  const torch::Device device(name);
  if (!device.is_cuda()) {
    return;
  }
  const auto count = static_cast<int>(torch::cuda::device_count());
  TORCH_CHECK_VALUE(
      device.index() < count && count > 0,
      "--device: expected cpu or one of the ",
      count,
      " CUDA devices that LibTorch finds here, got '",
      name,
      "'");
}

}  // namespace cifar10
