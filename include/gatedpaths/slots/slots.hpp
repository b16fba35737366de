// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/any_branch.hpp>
#include <gatedpaths/branches/detail/child.hpp>
#include <gatedpaths/branches/detail/no_trace.hpp>
#include <gatedpaths/export.hpp>

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>
#include <torch/nn/module.h>

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace gatedpaths {
namespace detail {
class BranchList;
struct BranchOutputs;
struct OutputEntry;

/// One function of `Slots::map`, kept for `dense()`.
struct SlotFunction {
  std::function<at::Tensor(const at::Tensor&)> apply;
  /// The same, leaving no graph and no other trace.
  std::function<at::Tensor(const at::Tensor&)> apply_without_trace;
};

}  // namespace detail

/// What `Slots::map` does with a function that makes zeros into something else.
enum class NonZero {
  kRefuse,  ///< An error: the dense form would give another result.
  kAllow,   ///< The empty slots stay zeros all the same.
};

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
  c10::IntArrayRef positions() const& noexcept { return positions_; }
  /// \overload
  std::vector<int64_t> positions() const&& {
    return {positions_.begin(), positions_.end()};
  }

  /// The values, in the order of `positions()`.
  c10::ArrayRef<at::Tensor> values() const& noexcept { return values_; }
  /// \overload
  std::vector<at::Tensor> values() const&& {
    return {values_.begin(), values_.end()};
  }

  /// The samples whose rows the value of slot `index` has, ascending: int64,
  /// on the value's device. Undefined where it has all `batch_size()` of them,
  /// as it does except with gates for each sample.
  ///
  /// Throws: `c10::IndexError` where there is no such slot; `c10::ValueError`
  /// where it holds none.
  const at::Tensor& samples(int64_t index) const&;
  /// \overload
  at::Tensor samples(int64_t index) const&& { return samples(index); }

  /// Whether some slot holds a part of the samples only.
  bool is_partial() const noexcept;

  /// Whether slot `index` holds a value.
  ///
  /// Throws: `c10::IndexError` where there is no such slot.
  bool holds(int64_t index) const;

  /// The value of slot `index`: a row for each of its samples.
  ///
  /// Throws: `c10::IndexError` where there is no such slot; `c10::ValueError`
  /// where it holds none.
  const at::Tensor& at(int64_t index) const&;
  /// \overload
  at::Tensor at(int64_t index) const&& { return at(index); }

  /// The concatenation along `dim()`, with zeros in the empty slots and, where
  /// a slot holds a part of the samples, in the rows of the others. Their
  /// dtype, device and memory format are what the branch would have given.
  ///
  /// With nothing held the result is zeros that depend on no parameter.
  ///
  /// Shape: of all slots together, e.g. `[N, C_0 + C_1 + ..., H, W]`.
  /// Throws: `c10::Error` where the shape of an empty slot cannot be known (see
  /// `OutputShape`), or does not fit the others.
  at::Tensor dense() const;

  /// The slots as one row of features a sample: each value `[N, C_i, ...]`
  /// becomes `[N, C_i * ...]`, so that `flatten().dense()` equals
  /// `dense().flatten(1)`.
  ///
  /// Throws: `c10::ValueError` where the slots are not concatenated along dim
  /// 1, so that their features do not lie side by side.
  Slots flatten() const;

  /// Applies a function or a module to each value; the empty slots stay empty.
  /// For what leaves zeros zero: relu, pooling, dropout.
  ///
  /// Whether it does is tried in each call on one sample of zeros, without a
  /// trace. (`SlotMap` tries it once only.) A module should be given as such:
  /// what a function does to a module that it refers to cannot be taken back.
  ///
  /// Throws: `c10::ValueError` where `function` makes zeros into something else
  /// and `non_zero` does not allow it, or gives another number of samples.
  ///
  /// Example: `slots.map([](const auto& x) { return x.relu(); })`.
  template <class F>
    requires std::invocable<const F&, const at::Tensor&> ||
             detail::is_module_like<F> || std::same_as<F, AnyBranch>
  Slots map(F function, NonZero non_zero = NonZero::kRefuse) const {
    return map_values(slot_function(std::move(function)), non_zero);
  }

 private:
  friend class ConcatGateBase;
  friend class SlotConsumer;
  friend class SlotLinearImpl;
  template <size_t D>
  friend class SlotConvImpl;
  template <size_t D>
  friend class SlotBatchNormImpl;

  template <class F>
  static detail::SlotFunction slot_function(F function) {
    if constexpr (detail::is_module_like<F> || std::is_same_v<F, AnyBranch>) {
      const AnyBranch module(std::move(function));
      const auto apply = [module](const at::Tensor& value) {
        return module.forward(value);
      };
      return {apply, [module](const at::Tensor& value) {
                const detail::NoTrace no_trace(*module.ptr());
                return module.forward(value);
              }};
    } else {
      return {function, [function](const at::Tensor& value) -> at::Tensor {
                torch::nn::Module nothing;  // a function has no buffers
                const detail::NoTrace no_trace(nothing);
                return function(value);
              }};
    }
  }

  Slots map_values(detail::SlotFunction function, NonZero non_zero) const;

  /// The value at `positions()[i]` with a row for every sample.
  at::Tensor whole_value(size_t i) const;

  /// The place of slot `index` in `positions()`.
  size_t place_of(const char* method, int64_t index) const;

  /// Zeros in place of an empty slot, by its number among all branches, those
  /// that are gone included.
  at::Tensor empty_value(int64_t place, int64_t open_sibling) const;

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
  c10::SmallVector<at::Tensor, 4> samples_;  // of each value; undefined: all
  std::vector<detail::SlotFunction> functions_;
};

}  // namespace gatedpaths
