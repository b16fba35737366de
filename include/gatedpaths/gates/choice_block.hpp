// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/deep_copy.hpp>
#include <gatedpaths/branches/named_branch.hpp>
#include <gatedpaths/export.hpp>
#include <gatedpaths/gates/branched_module.hpp>
#include <gatedpaths/gates/closed_branch_options.hpp>
#include <gatedpaths/gates/detail/branch_holder.hpp>

#include <torch/arg.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/common.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <ostream>
#include <string_view>
#include <utility>
#include <vector>

namespace gatedpaths {

struct BranchWeighting;

/// How the outputs of several open branches become one. In half and bfloat16
/// they are added up in float, and the result is rounded once.
enum class Reduction {
  kSum,   ///< Their sum.
  kMean,  ///< Their sum, divided by how many they are.
};

/// Options of `ChoiceBlock`; see also `ClosedBranchOptions`.
///
/// Example: `ChoiceBlockOptions().max_open(2).reduction(Reduction::kMean)`.
class ChoiceBlockOptions : public ClosedBranchOptions<ChoiceBlockOptions> {
  /// The fewest branches that may be open. Default: 1.
  TORCH_ARG(int64_t, min_open) = 1;

  /// The most branches that may be open. Default: 1.
  TORCH_ARG(int64_t, max_open) = 1;

  /// How the outputs of several open branches become one. Default: `kSum`.
  TORCH_ARG(Reduction, reduction) = Reduction::kSum;
};

/// All of `ChoiceBlockImpl` that does not depend on the type of the branches.
class GATEDPATHS_EXPORT ChoiceBlockBase : public BranchedModule {
 public:
  /// The options that it was made with; a later change has no effect.
  ChoiceBlockOptions options;

  /// The output of the open branch; of several, their sum or mean; of none,
  /// zeros of the common shape that depend on no parameter. Under
  /// `ClosedValue::kDetached` the closed branches' outputs count too.
  ///
  /// `open`, where it is given, has the gates for each sample: a bool tensor
  /// `[batch, branches]`, see `SampleGatedModule`. Each row of the result is
  /// then the sum or mean over that row's own branches.
  torch::Tensor forward(
      const torch::Tensor& input, const torch::Tensor& open = {});

  /// Opens branch `index` and closes the others.
  ///
  /// Throws: `c10::IndexError` where there is no such branch;
  /// `c10::ValueError` where `min_open` is above 1.
  void select(int64_t index);
  /// \overload
  void select(std::string_view name);

  /// For estimators (see `PathEstimator`): weighs the branches by logits in
  /// each training forward from now on, until another weighting is set; a null
  /// pointer ends it. It belongs to the branches that are open by hand now: a
  /// training forward throws `c10::Error` once others are. A copy of the block
  /// has none.
  void set_weighting(std::shared_ptr<const BranchWeighting> weighting);
  /// The weighting of training forwards; null where there is none.
  const std::shared_ptr<const BranchWeighting>& weighting() const noexcept {
    return weighting_;
  }

  /// Prints `gatedpaths::ChoiceBlock(reduction=kSum, skip=kZeroFill,
  /// min_open=1, max_open=1, open=[conv3x3])`.
  void pretty_print(std::ostream& stream) const override;

 protected:
  /// Registers the branches under their names.
  ///
  /// Throws: `c10::ValueError` for no branch, two branches of one name, an
  /// empty or dotted name, an empty holder, bounds that do not fit, or options
  /// that contradict each other.
  ChoiceBlockBase(
      const ChoiceBlockOptions& block_options,
      std::vector<NamedBranch<>> branches);

  /// As for any gate; a copy has no weighting.
  void copy_parts(const std::optional<torch::Device>& device);

  void drop_branches(c10::IntArrayRef kept) override;

 private:
  struct KeptWeighting;

  std::unique_ptr<detail::KeptState> keep() override;
  torch::Tensor reduce(const detail::BranchOutputs& outputs) const;
  torch::Tensor reduce_samples(const detail::BranchOutputs& outputs) const;
  torch::Tensor forward_weighted(const torch::Tensor& input);
  torch::Tensor mixture(const torch::Tensor& input);

  std::shared_ptr<const BranchWeighting> weighting_;
  std::vector<int64_t> weighted_path_;  // what was open when it was set
};

/// The module behind `ChoiceBlock`, which see.
template <class Child = AnyBranch>
class ChoiceBlockImpl
    : public detail::DeepCopied<ChoiceBlockImpl<Child>, ChoiceBlockBase> {
 public:
  /// Registers the branches under their names; `c10::ValueError` where they or
  /// the options do not fit, see `ChoiceBlock`.
  ChoiceBlockImpl(
      const ChoiceBlockOptions& block_options,
      std::vector<NamedBranch<>> branches)
      : ChoiceBlockImpl::DeepCopied(block_options, std::move(branches)) {}

  /// As `ChoiceBlockBase::forward`. Here too, so that
  /// `torch::nn::Sequential::at` and `torch::nn::AnyModule::get` can give the
  /// module back typed.
  torch::Tensor forward(
      const torch::Tensor& input, const torch::Tensor& open = {}) {
    return ChoiceBlockBase::forward(input, open);
  }

  /// Branch `index`: an `AnyBranch`, or a typed holder where `Child` is one.
  ///
  /// Throws: `c10::IndexError` where there is no such branch.
  auto branch(int64_t index) const {
    return this->template typed_branch<Child>(index);
  }
  /// The branch called `name`.
  ///
  /// Throws: `c10::IndexError`, with all names, where there is no such branch.
  auto branch(std::string_view name) const {
    return branch(this->branch_index(name));
  }

 protected:
  FORWARD_HAS_DEFAULT_ARGS({1, torch::nn::AnyValue(torch::Tensor())})
};

/// N branches on the same input, one of them open; or k of N, where the options
/// allow it, with their outputs summed or averaged.
///
/// Training and eval: open branches run as without the block, bit for bit;
/// closed ones are skipped as the options say and add nothing. Nothing is drawn
/// unless `draw_each_forward` asks for it, and nothing ever in eval. The first
/// `max_open` branches are open at first.
///
/// Shape: input `[N, ...]`, the same for all branches; output the branches'
/// common shape.
///
/// Throws, when made: `c10::ValueError` for no branch, two branches of one
/// name, an empty or dotted name, an empty holder, bounds that do not fit, or
/// options that contradict each other. In `forward`: `c10::ValueError` where
/// two branches return different shapes for the same kind of input, the input
/// is on another device than the branch, or a branch works in place on an input
/// that is read again (see `GatedModule`).
///
/// Made from named branches, `(options, {{"a", a()}, ...})` or a `std::vector`
/// of `NamedBranch`; or from `(options, a(), ...)`, which are then called "0",
/// "1", ..., and give a `ChoiceBlock<Child>` where all are alike. The options
/// may be left out (before a single branch without a name, they may not). A
/// branch is a holder, a `shared_ptr`, a module by value or an `AnyBranch`.
/// Also from a `std::shared_ptr<Impl>`; `nullptr` makes an empty holder.
///
/// Example:
/// ```
/// gatedpaths::ChoiceBlock block(
///     {{"conv3x3", conv3()}, {"conv5x5", conv5()}, {"identity", Identity()}});
/// block->select("conv5x5");
/// auto y = block->forward(x);  // only conv5x5 runs
/// ```
template <class Child = AnyBranch>
class ChoiceBlock
    : public detail::
          BranchHolder<ChoiceBlockImpl<Child>, ChoiceBlockOptions, Child> {
 public:
  /// The forms above that begin with options, or with no branches at all.
  using ChoiceBlock::BranchHolder::BranchHolder;

  /// Named branches, with the options' defaults.
  ChoiceBlock(std::initializer_list<NamedBranch<Child>> branches)
      : ChoiceBlock(ChoiceBlockOptions(), branches) {}
  /// \overload
  explicit ChoiceBlock(const std::vector<NamedBranch<Child>>& branches)
      : ChoiceBlock(ChoiceBlockOptions(), branches) {}

  /// Branches without names, with the options' defaults.
  template <detail::BranchOf<Child> First, detail::BranchOf<Child>... Rest>
    requires(sizeof...(Rest) >= 1)
  explicit ChoiceBlock(First&& first, Rest&&... rest)
      : ChoiceBlock(
            ChoiceBlockOptions(),
            std::forward<First>(first),
            std::forward<Rest>(rest)...) {}
};

ChoiceBlock(std::nullptr_t) -> ChoiceBlock<>;

template <class Child>
ChoiceBlock(std::shared_ptr<ChoiceBlockImpl<Child>>) -> ChoiceBlock<Child>;

template <class Child = AnyBranch>
ChoiceBlock(
    const ChoiceBlockOptions&,
    std::initializer_list<NamedBranch<Child>>) -> ChoiceBlock<Child>;

template <class Child>
ChoiceBlock(const ChoiceBlockOptions&, const std::vector<NamedBranch<Child>>&)
    -> ChoiceBlock<Child>;

template <detail::BranchLike... M>
  requires(sizeof...(M) >= 1)
ChoiceBlock(const ChoiceBlockOptions&, M&&...)
    -> ChoiceBlock<detail::CommonChild<M...>>;

template <detail::BranchLike First, detail::BranchLike... Rest>
  requires(sizeof...(Rest) >= 1)
ChoiceBlock(First&&, Rest&&...)
    -> ChoiceBlock<detail::CommonChild<First, Rest...>>;

}  // namespace gatedpaths
