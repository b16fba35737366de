// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/branch_label.hpp>
#include <gatedpaths/export.hpp>

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>

#include <cstdint>
#include <utility>

namespace gatedpaths::detail {

/// Sees whether tensors are changed in place while a branch has them.
///
/// The tensors' versions tell, which their views share: no value is looked at,
/// and no device waited for. What goes round them (a pointer, another tensor
/// that was set to the same memory) is not seen.
class GATEDPATHS_EXPORT InputWatch {
 public:
  /// Watches `tensor` from now on. Returns what the branch is to be given for
  /// it: itself; but in inference mode, where tensors have no version, a normal
  /// tensor in the same memory.
  at::Tensor watch(const at::Tensor& tensor);

  /// Throws where `branch`, which is open, changed one of the tensors.
  void check_open(const BranchLabel& branch) const;

  /// Throws where `branch`, which is closed, changed one of the tensors.
  void check_closed(const BranchLabel& branch) const;

  /// Whether one of the tensors was changed.
  bool is_changed() const;

 private:
  c10::SmallVector<std::pair<at::Tensor, int64_t>, 2> versions_;
};

}  // namespace gatedpaths::detail
