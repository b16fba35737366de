// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/deep_copy.hpp>
#include <gatedpaths/branches/named_branch.hpp>
#include <gatedpaths/branches/output_shape.hpp>
#include <gatedpaths/depth/drop_mode.hpp>
#include <gatedpaths/export.hpp>
#include <gatedpaths/gates/branched_module.hpp>
#include <gatedpaths/gates/detail/branch_holder.hpp>

#include <torch/arg.h>
#include <torch/nn/module.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <ostream>
#include <string_view>
#include <type_traits>
#include <utility>

namespace gatedpaths {
namespace detail {
class DropConvention;
}  // namespace detail

/// Options of `StochasticDepth`.
///
/// Example: `StochasticDepthOptions(0.2).mode(DropMode::kBatch).seed(7)`.
class StochasticDepthOptions {
 public:
  /// The probability that a row is dropped, in `[0, 1]`.
  StochasticDepthOptions(double drop_rate)  // NOLINT: as DropoutOptions
      : drop_rate_(drop_rate) {}
  /// The probability that a row is dropped.
  TORCH_ARG(double, drop_rate);

  /// What is dropped at once. Default: `kSubset`. Of the modes that keep each
  /// row with the same probability it is the cheapest in every single step and
  /// the least noisy; take `kRow` for a branch with batch norm on few rows.
  TORCH_ARG(DropMode, mode) = DropMode::kSubset;

  /// How the branch's part is scaled. Default: `kTrainInverse`.
  TORCH_ARG(DropScale, scale) = DropScale::kTrainInverse;

  /// Whether the input is added to the branch's part; otherwise dropped rows
  /// are zeros. Default: true.
  TORCH_ARG(bool, residual) = true;

  /// Names the stream of the draws. Default: one that no other module has, the
  /// same in each run that makes its modules in the same order. Blocks of one
  /// seed would all be dropped together. See `seed_draws`.
  TORCH_ARG(std::optional<uint64_t>, seed);

  /// The shape of the branch's output, needed where `residual(false)` drops all
  /// rows. Default: not declared, found out (see `OutputShape`).
  TORCH_ARG(OutputShape, output_shape);
};

/// All of `StochasticDepthImpl` that does not depend on the type of the branch.
class GATEDPATHS_EXPORT StochasticDepthBase : public BranchedModule {
 public:
  /// The options that it was made with; a later change has no effect.
  StochasticDepthOptions options;

  /// The input plus the branch's part; see `StochasticDepth`.
  torch::Tensor forward(const torch::Tensor& input);

  /// The probability that a row is dropped: of the options, set since, or of
  /// the checkpoint that was loaded.
  ///
  /// Throws: `c10::ValueError` where a checkpoint brought what is no
  /// convention; so do `mode`, `scale` and `forward`.
  double drop_rate() const;
  /// What is dropped at once: of the options, or of the checkpoint.
  DropMode mode() const;
  /// How the branch's part is scaled: of the options, or of the checkpoint.
  DropScale scale() const;

  /// Sets the probability that a row is dropped, as a schedule does.
  ///
  /// Throws: `c10::ValueError` for one outside `[0, 1]`.
  void set_drop_rate(double value);

  /// False: there is nothing to choose, its gate is always open.
  bool is_choice() const noexcept override { return false; }

  /// Prints `gatedpaths::StochasticDepth(drop_rate=0.2, mode=kSubset,
  /// scale=kTrainInverse, residual=true)`.
  void pretty_print(std::ostream& stream) const override;

 protected:
  /// Registers the branch as "branch" and the convention as "drop".
  ///
  /// Throws: `c10::ValueError` for a rate outside `[0, 1]` or an empty holder.
  StochasticDepthBase(
      const StochasticDepthOptions& depth_options, AnyBranch branch);

  /// Replaces the branch and the record of the convention of a fresh copy.
  void copy_parts(const std::optional<torch::Device>& device);

 private:
  bool is_drawn_by_nature() const noexcept override { return true; }
  torch::Tensor zeros(
      const torch::Tensor& input, detail::OutputEntry& entry) const;
  void check_output(
      const torch::Tensor& input,
      const torch::Tensor& output,
      bool by_row) const;

  std::shared_ptr<detail::DropConvention> convention_;
};

/// The module behind `StochasticDepth`, which see.
template <class Child>
class StochasticDepthImpl
    : public detail::
          DeepCopied<StochasticDepthImpl<Child>, StochasticDepthBase> {
 public:
  /// Registers the branch as "branch".
  ///
  /// Throws: `c10::ValueError` for a rate outside `[0, 1]` or an empty holder.
  StochasticDepthImpl(
      AnyBranch branch, const StochasticDepthOptions& depth_options)
      : StochasticDepthImpl::DeepCopied(depth_options, std::move(branch)) {}

  /// The branch: a typed holder where `Child` is one, else a `shared_ptr`.
  auto child() const { return this->template typed_branch<Child>(0); }
};

/// A residual block whose branch is dropped at random: `x + scale * branch(x)`,
/// the branch's part being left out for the dropped rows.
///
/// Training: rows are drawn as `DropMode` says and scaled as `DropScale` says.
/// Where no row is kept the branch is not called: its gradients stay undefined,
/// its buffers and all random streams untouched, and the result is a copy of
/// the input; `ran_branches()` tells. A rate of 0 is `x + branch(x)` bit for
/// bit, and a rate of 1 never calls the branch; neither draws. Under `kSubset`
/// dropped rows take no part in the branch's gradients; an inf or NaN of the
/// branch in a dropped row never reaches the result.
///
/// Beside torchvision's `drop = StochasticDepth(p, mode)`, which wraps nothing
/// and adds nothing, so that the branch always runs:
///
/// | torchvision | `StochasticDepth(branch, StochasticDepthOptions(p)...)` |
/// |---|---|
/// | `x + drop(branch(x))`, mode "row" | `.mode(DropMode::kRow)` |
/// | `x + drop(branch(x))`, mode "batch" | `.mode(DropMode::kBatch)` |
///
/// Eval: nothing is drawn; the branch runs on all rows, times `keep` under
/// `DropScale::kEval`. After `stop_drawing()` training does the same.
///
/// The draws depend on the seed and the number of draws so far alone
/// (`draw_state()`, `set_draw_state()`, `draw_each_forward(seed)`). The gate
/// itself is always open, and no part of a `PathSpace`.
///
/// Mode, scale and rate are saved with the parameters, as `drop.convention`,
/// and loading restores them: the weights were trained for that scale. A clone
/// keeps them and the draw state.
///
/// Shape: input `[N, ...]`, output the same; with `residual(false)`, the
/// branch's.
///
/// Throws, when made: `c10::ValueError` for a rate outside `[0, 1]` or an empty
/// holder. In `forward`: `c10::ValueError` where the branch returns another
/// shape than the input's or (without residual) another number of rows, or
/// changes its input in place, or the input has no batch dim or is on another
/// device than the branch.
///
/// Example:
/// ```
/// gatedpaths::StochasticDepth block(
///     conv_block(64), gatedpaths::StochasticDepthOptions(0.2));
/// auto y = block->forward(x);  // the block runs on 4 of 5 rows
/// ```
template <class Child = AnyBranch>
class StochasticDepth : public detail::GateHolder<StochasticDepthImpl<Child>> {
 public:
  /// The empty holder, and that of an existing module.
  using StochasticDepth::GateHolder::GateHolder;

  /// Wraps `child`: a holder, a `shared_ptr`, a module by value, an
  /// `AnyBranch`.
  template <detail::BranchOf<Child> M>
  StochasticDepth(M&& child, const StochasticDepthOptions& options)
      : StochasticDepth(std::make_shared<StochasticDepthImpl<Child>>(
            AnyBranch(std::forward<M>(child)), options)) {}
};

StochasticDepth(std::nullptr_t) -> StochasticDepth<>;

template <class Child>
StochasticDepth(std::shared_ptr<StochasticDepthImpl<Child>>)
    -> StochasticDepth<Child>;

template <detail::BranchLike M>
StochasticDepth(M&&, const StochasticDepthOptions&)
    -> StochasticDepth<std::remove_cvref_t<M>>;

}  // namespace gatedpaths
