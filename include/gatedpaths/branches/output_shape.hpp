// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <c10/core/ScalarType.h>
#include <c10/util/ArrayRef.h>

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <variant>
#include <vector>

namespace gatedpaths {

/// What a user declares about the output of a branch, so that zeros of that
/// shape can stand in for it while it is closed and does not run.
///
/// Sizes are without the batch dim: `{16, 5, 5}` for an output `[N, 16, 5, 5]`.
/// Declaring nothing is fine: the shape is then what the branch really returned
/// for such an input, or is found by a probe (a forward without a trace of an
/// empty batch, and where that fails of one sample in eval mode). Declare it
/// where a branch must never run just to learn its shape, or cannot run on an
/// empty batch.
///
/// A size that is zero for an empty batch is taken to be the batch size. Where
/// it is a multiple of it (a branch that folds time into the batch), run the
/// branch open once, or use `Skip::kNoGrad`.
///
/// A declared shape is held against what the branch returns when it is open; a
/// difference is a `c10::ValueError`.
///
/// Its dtype is the branch's: what it returned before for such an input, else
/// the autocast dtype where autocast is on, else that of its first
/// floating-point parameter, else the input's. `dtype()` overrides that.
///
/// Example:
/// ```
/// GatedBranchOptions().output_shape({16, 5, 5});
/// GatedBranchOptions().output_shape([](c10::IntArrayRef in) {  // [C, H, W]
///   return std::vector<int64_t>{32, in[1] / 2, in[2] / 2};
/// });
/// ConcatGateOptions(1).output_shape(OutputShape::like_open_sibling());
/// ```
class GATEDPATHS_EXPORT OutputShape {
 public:
  /// From the sizes of the input to those of the output, both without the batch
  /// dim.
  using Function = std::function<std::vector<int64_t>(c10::IntArrayRef)>;

  /// Declares nothing.
  OutputShape() = default;

  /// Declares fixed sizes, without the batch dim.
  ///
  /// Throws: `c10::ValueError` for a negative size.
  OutputShape(std::initializer_list<int64_t> sizes);
  /// \overload
  OutputShape(std::vector<int64_t> sizes);

  /// Declares sizes that depend on the input's.
  template <class F>
    requires std::invocable<const F&, c10::IntArrayRef> &&
             std::convertible_to<
                 std::invoke_result_t<const F&, c10::IntArrayRef>,
                 std::vector<int64_t>>
  OutputShape(F function) : rule_(Function(std::move(function))) {}

  /// Declares that the output is as that of an open sibling in every respect.
  /// While none is open, the shape is found as if nothing were declared.
  static OutputShape like_open_sibling();

  /// Declares the dtype too.
  OutputShape& dtype(c10::ScalarType value) {
    dtype_ = value;
    return *this;
  }
  /// The declared dtype, if any.
  std::optional<c10::ScalarType> dtype() const noexcept { return dtype_; }

  /// Whether sizes are declared, as such or by a function.
  bool has_sizes() const noexcept;

  /// Whether `like_open_sibling` is declared.
  bool is_like_open_sibling() const noexcept;

  /// The declared sizes for an input, both without the batch dim.
  ///
  /// Throws: `c10::ValueError` where none are declared, or the function gives a
  /// negative one.
  std::vector<int64_t> sizes(c10::IntArrayRef input_sizes) const;

 private:
  struct LikeOpenSibling {};

  std::variant<std::monostate, std::vector<int64_t>, Function, LikeOpenSibling>
      rule_;
  std::optional<c10::ScalarType> dtype_;
};

}  // namespace gatedpaths
