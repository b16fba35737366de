// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/branch_weighting.hpp>

#include <ATen/TensorOperators.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>

namespace gatedpaths {

bool BranchWeighting::wants_gradient() const {
  return c10::GradMode::is_enabled() && logits.requires_grad();
}

at::Tensor BranchWeighting::weights() const {
  at::Tensor sum = noise.defined() ? logits + noise : logits;
  if (other >= 0) {
    // Selected one by one: a tensor of indices would be copied to the device.
    sum = at::stack({sum.select(0, active), sum.select(0, other)});
  }
  if (temperature != 1) {
    sum = sum / temperature;
  }
  const at::Tensor weights = at::softmax(sum, 0);
  return active < 0 || other >= 0 ? weights : weights.narrow(0, active, 1);
}

}  // namespace gatedpaths
