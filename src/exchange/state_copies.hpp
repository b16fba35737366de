// SPDX-License-Identifier: MIT
// Not installed.
#pragma once

#include "state_difference.hpp"

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace gatedpaths::detail {

/// Values for tensors of a network, checked before the first is written.
///
/// What copying would throw halfway, or do to other values, is found by
/// `check`: a target that cannot be written, one tensor of the network under
/// two names whose values differ. A value that shares memory with a target is
/// read before anything is written.
class StateCopies {
 public:
  /// `name` and `kind` are those of the target. Sizes have to be equal.
  void add(
      std::string kind, std::string name, at::Tensor target, at::Tensor value);

  /// Tells what cannot be copied.
  void check(StateDifference& difference) const;

  /// Writes all values.
  void copy();

 private:
  struct Item {
    std::string kind;
    std::string name;
    at::Tensor target;
    at::Tensor value;
  };

  void check_ties(StateDifference& difference) const;

  std::vector<Item> items_;
};

}  // namespace gatedpaths::detail
