// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace gatedpaths {
namespace detail {
class BranchList;
struct BranchOutputs;
struct OutputEntry;
}  // namespace detail

/// The outputs of a `ConcatGate`'s open branches with their positions in the
/// concatenation; nothing stands in for the closed ones.
///
/// What takes `Slots` instead of a dense tensor (`SlotLinear`, ...) computes
/// with the open branches alone, so that its cost does not grow with the number
/// of closed ones. `dense()` is the concatenation with zeros.
///
/// A value type: copies share the tensors. It keeps the gate's branches alive.
///
/// Example:
/// ```
/// gate->set_open({1});
/// Slots slots = gate->forward_slots(x);
/// slots.positions();                    // {1}
/// slots.at(1);                          // [N, 16, 5, 5]
/// slots.dense();                        // [N, 32, 5, 5], equal to forward(x)
/// ```
class GATEDPATHS_EXPORT Slots {
 public:
  /// The number of slots: one a branch.
  int64_t num_slots() const noexcept;

  /// The slots' names: those of the branches.
  std::vector<std::string> names() const;

  /// The dim along which the slots are concatenated, as given to the gate; may
  /// be negative.
  int64_t dim() const noexcept { return dim_; }

  /// The number of samples; -1 for an input without dims.
  int64_t batch_size() const noexcept { return batch_; }

  /// The slots that hold a value, ascending: those of open branches, and under
  /// `ClosedValue::kDetached` those of closed ones too.
  c10::IntArrayRef positions() const noexcept { return positions_; }

  /// The values, in the order of `positions()`.
  c10::ArrayRef<at::Tensor> values() const noexcept { return values_; }

  /// Whether slot `index` holds a value.
  ///
  /// Throws: `c10::IndexError` where there is no such slot.
  bool holds(int64_t index) const;

  /// The value of slot `index`.
  ///
  /// Throws: `c10::IndexError` where there is no such slot; `c10::ValueError`
  /// where it holds none.
  const at::Tensor& at(int64_t index) const;

  /// The concatenation along `dim()`, with zeros in the empty slots. Their
  /// dtype, device and memory format are what the branch would have given.
  ///
  /// With nothing held the result is zeros that depend on no parameter.
  ///
  /// Shape: of all slots together, e.g. `[N, C_0 + C_1 + ..., H, W]`.
  /// Throws: `c10::Error` where the shape of an empty slot cannot be known (see
  /// `OutputShape`), or does not fit the others.
  at::Tensor dense() const;

 private:
  friend class ConcatGateBase;

  Slots(
      std::shared_ptr<detail::BranchList> branches,
      detail::BranchOutputs outputs,
      int64_t dim);

  void check_index(const char* method, int64_t index) const;

  std::shared_ptr<detail::BranchList> branches_;
  std::shared_ptr<detail::OutputEntry> entry_;
  int64_t dim_;
  int64_t batch_;
  c10::SmallVector<int64_t, 4> positions_;
  c10::SmallVector<at::Tensor, 4> values_;
};

}  // namespace gatedpaths
