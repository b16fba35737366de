// SPDX-License-Identifier: MIT
#include "stage_input.hpp"

#include <c10/util/Exception.h>

namespace gatedpaths::detail {

StageInput::StageInput(const at::Tensor& tensor, bool is_watched)
    : tensor_(is_watched ? watch_.watch(tensor) : tensor) {}

at::Tensor StageInput::run(const Stage& stage, int64_t index) const {
  at::Tensor output = stage(tensor_);
  TORCH_CHECK_VALUE(
      output.defined(),
      "evaluate: expected stage ",
      index,
      " to return a tensor, got an undefined one");
  TORCH_CHECK_VALUE(
      !watch_.is_changed(),
      "evaluate: expected stage ",
      index,
      " to leave its input as it is, since that is read again for the next "
      "path, got one that is changed in place; use layers that do not work in "
      "place, or a stage that copies its input first");
  return output;
}

void StageInput::check_metric() const {
  TORCH_CHECK_VALUE(
      !watch_.is_changed(),
      "evaluate: expected a metric that leaves the output as it is, since that "
      "has the memory of the last stage's input, got one that changes it in "
      "place");
}

}  // namespace gatedpaths::detail
