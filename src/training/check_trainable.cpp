// SPDX-License-Identifier: MIT
#include <gatedpaths/training/check_trainable.hpp>

#include <c10/util/Exception.h>

namespace gatedpaths {

void check_trainable(const at::Tensor& loss, const PathSpace& space) {
  TORCH_CHECK_VALUE(
      loss.defined(), "check_trainable: expected a loss, got an undefined one");
  TORCH_CHECK_VALUE(
      loss.requires_grad(),
      "check_trainable: expected a loss that depends on a parameter that "
      "requires grad, got one without a graph on the path '",
      space.to_string(space.current()),
      "'; open a branch with parameters, or put a trainable layer behind the "
      "closed ones");
}

}  // namespace gatedpaths
