// SPDX-License-Identifier: MIT
// The input that several branches run on. Not installed.
#pragma once

#include <gatedpaths/branches/detail/input_watch.hpp>

#include "branch_list.hpp"

namespace gatedpaths::detail {

/// An input on which branches run, one after the other. Each must leave it as
/// it is, but for the last, since nothing reads it then.
class SharedInput {
 public:
  /// `is_shared`: whether more than one branch will run.
  SharedInput(
      const BranchList& branches, const at::Tensor& input, bool is_shared)
      : branches_(branches), input_(is_shared ? watch_.watch(input) : input) {}

  /// Runs an open branch. Throws where the open one before it changed the
  /// input.
  at::Tensor run_open(int64_t index, OutputEntry& entry) {
    check_last();
    last_ = index;
    return branches_.run_open(index, input_, entry);
  }

  /// Runs a closed branch without a trace; throws as above.
  at::Tensor run_closed(
      int64_t index, OutputEntry& entry, bool track_statistics) const {
    check_last();
    return branches_.run_closed(index, input_, entry, track_statistics);
  }

 private:
  void check_last() const {
    if (last_ >= 0) {
      watch_.check_open(branches_.label(last_));
    }
  }

  const BranchList& branches_;
  InputWatch watch_;
  at::Tensor input_;
  int64_t last_ = -1;  // the open branch that ran last
};

}  // namespace gatedpaths::detail
