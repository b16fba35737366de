// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

namespace gatedpaths::detail {

/// `value` without a graph, in memory of its own: a copy where something else,
/// such as a parameter or the input of the branch that returned it, has that
/// memory too.
inline at::Tensor detach_alone(at::Tensor value) {
  at::Tensor alone = value.detach();
  value.reset();  // which has the memory too
  const bool is_alone = alone.has_storage() && alone.storage().use_count() == 1;
  return is_alone ? alone : alone.clone();
}

}  // namespace gatedpaths::detail
