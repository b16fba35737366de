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
/// for such an input, or is found by probes, which are forwards without a
/// trace. Declare it where a branch must never run just to learn its shape, or
/// where the values in its input decide it, which no probe can know.
///
/// What is remembered, and for what:
///
/// - The kind of input: the sizes but the batch's, dtype, device and memory
///   format of every tensor among the arguments; every number, flag and text
///   among them (of other types, those that `std::hash` takes, and plain
///   structs without padding or floating members; pointers and all else are
///   taken not to matter); autocast and the default dtype.
/// - The state of the branch: train or eval of the branch as a whole, and the
///   dtype, device, sizes and memory format of one of its weights. A module
///   with a width or depth that is set derives from `ShapeState`.
/// - How each size follows the batch. One batch size never tells: a size that
///   equals it may be a number of channels, one that is zero without samples
///   the batch's square. Two tell where each size is the same or the batch's
///   own, three where it is on a line with the batch; whether the branch ran on
///   them or was probed makes no difference. Else each batch size is known by
///   itself, and one sample always is: what squeezes gives another shape then.
///   A size that stops to grow beyond some batch is only known to do so once
///   the branch has run on more.
///
/// Thousands of kinds are remembered for each gate (and for each kind, hundreds
/// of states and a thousand batch sizes of a branch that follows no line); the
/// one that was not used the longest makes room. So a closed branch is called
/// while something about it is new, and not any more after that: with an empty
/// batch, then with 4 samples, and where these do not tell, with 6, 3, and as
/// many as there are (with one, where there is one); in eval mode only where
/// its own mode will not do.
///
/// A number that is another in every forward, such as a step or a temperature,
/// would be new for ever. So where 32 of its values have given the same sizes,
/// or sizes on a line with an integer, other values are trusted to, and another
/// probe is made each time that as many were trusted as were seen. Where a
/// probe or a run breaks such a rule it takes four times as many. Flags and
/// enumerators are choices, no such numbers. Declare the shape where it must be
/// right for a number that jumps late.
///
/// What the branch returns when it runs is always right, and ends what was
/// remembered otherwise: if it returns something else than it did for such an
/// input in such a state, its gate forgets all that its branches returned
/// before. `forget_outputs()` of a gate does so at once.
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
