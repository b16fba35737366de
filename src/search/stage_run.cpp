// SPDX-License-Identifier: MIT
#include "stage_run.hpp"

#include <c10/util/Exception.h>

namespace gatedpaths::detail {

StageRun::StageRun(const Stage& stage, int64_t index, const at::Tensor& input) {
  output_ = stage(watch_.watch(input));
  TORCH_CHECK_VALUE(
      output_.defined(),
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
}

void StageRun::check_metric() const {
  TORCH_CHECK_VALUE(
      !watch_.is_changed(),
      "evaluate: expected a metric that leaves the output as it is, since that "
      "has the memory of the last stage's input, got one that changes it in "
      "place");
}

}  // namespace gatedpaths::detail
