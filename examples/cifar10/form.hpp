// SPDX-License-Identifier: MIT
#pragma once

namespace cifar10 {

/// What the linear layer behind the paths takes.
enum class Form {
  kSlots,  // the open path alone: the layer has a weight for each path
  kDense,  // the concatenation, with zeros for the closed paths
};

}  // namespace cifar10
