// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/deep_copy.hpp>
#include <gatedpaths/branches/named_branch.hpp>
#include <gatedpaths/export.hpp>
#include <gatedpaths/gates/branched_module.hpp>
#include <gatedpaths/gates/closed_branch_options.hpp>
#include <gatedpaths/gates/detail/branch_holder.hpp>
#include <gatedpaths/slots/slots.hpp>

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

/// Options of `ConcatGate`; see also `ClosedBranchOptions`.
///
/// Example:
/// ```
/// ConcatGate gate(
///     ConcatGateOptions(/*dim=*/1).min_open(1).max_open(1),
///     {{"a", conv_path()}, {"b", conv_path()}});
/// ```
class ConcatGateOptions : public ClosedBranchOptions<ConcatGateOptions> {
 public:
  /// `dim` is the dim of the outputs along which they are concatenated; a
  /// negative one counts from the last.
  explicit ConcatGateOptions(int64_t dim) : dim_(dim) {}

  /// The dim of the concatenation.
  TORCH_ARG(int64_t, dim);

  /// The fewest branches that may be open. Default: 0.
  TORCH_ARG(int64_t, min_open) = 0;

  /// The most branches that may be open. Default: all.
  TORCH_ARG(std::optional<int64_t>, max_open);
};

/// All of `ConcatGateImpl` that does not depend on the type of the branches.
class GATEDPATHS_EXPORT ConcatGateBase : public BranchedModule {
 public:
  /// The options that it was made with; a later change has no effect.
  ConcatGateOptions options;

  /// The dense concatenation of the branches' outputs, with zeros in the slots
  /// of closed ones. Equal to `forward_slots(input, open).dense()`.
  ///
  /// `open`, where it is given, has the gates for each sample: a bool tensor
  /// `[batch, branches]`, see `SampleGatedModule`.
  torch::Tensor forward(
      const torch::Tensor& input, const torch::Tensor& open = {});

  /// The open branches' outputs with their positions; nothing is filled. With
  /// gates for each sample, each holds its own samples only.
  Slots forward_slots(
      const torch::Tensor& input, const torch::Tensor& open = {});

  /// Prints `gatedpaths::ConcatGate(dim=1, skip=kZeroFill, min_open=1,
  /// max_open=1, open=[a])`.
  void pretty_print(std::ostream& stream) const override;

 protected:
  /// Registers the branches under their names.
  ///
  /// Throws: `c10::ValueError` for no branch, two branches of one name, an
  /// empty or dotted name, an empty holder, bounds that do not fit, or options
  /// that contradict each other.
  ConcatGateBase(
      const ConcatGateOptions& gate_options,
      const std::vector<NamedBranch<>>& branches);
};

/// The module behind `ConcatGate`, which see.
template <class Child = AnyBranch>
class ConcatGateImpl
    : public detail::DeepCopied<ConcatGateImpl<Child>, ConcatGateBase> {
 public:
  /// Registers the branches under their names; `c10::ValueError` where they or
  /// the options do not fit, see `ConcatGate`.
  ConcatGateImpl(
      const ConcatGateOptions& gate_options,
      const std::vector<NamedBranch<>>& branches)
      : ConcatGateImpl::DeepCopied(gate_options, branches) {}

  /// As `ConcatGateBase::forward`. Here too, so that
  /// `torch::nn::Sequential::at` and `torch::nn::AnyModule::get` can give the
  /// module back typed.
  torch::Tensor forward(
      const torch::Tensor& input, const torch::Tensor& open = {}) {
    return ConcatGateBase::forward(input, open);
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

/// N branches on the same input, any subset of them open, each with its own
/// fixed slot along `dim`: the weights behind the concatenation stay with the
/// branch that they belong to, whichever are open.
///
/// Training and eval: open branches run as without the gate, bit for bit;
/// closed ones are skipped as the options say and their slots are zeros.
/// Nothing is drawn unless `draw_each_forward` asks for it, and nothing ever in
/// eval. Everything is open at first, or the first `max_open` branches.
///
/// Shape: input `[N, ...]`, the same for all branches; output the concatenation
/// of theirs along `dim`, e.g. `[N, C_0 + C_1 + ..., H, W]`. Their shapes must
/// match in all other dims.
///
/// Throws, when made: `c10::ValueError` for no branch, two branches of one
/// name, an empty or dotted name, an empty holder, bounds that do not fit, or
/// options that contradict each other. In `forward`: `c10::ValueError` for
/// outputs that do not concatenate or an input on another device than the
/// branch, with the branches' names and both shapes, and for a branch that
/// works in place on an input that is read again (see `GatedModule`);
/// `c10::Error` where the shape of a closed branch cannot be known (see
/// `OutputShape`).
///
/// Made from named branches, `(options, {{"a", a()}, ...})` or a `std::vector`
/// of `NamedBranch`; or from `(options, a(), ...)`, which are then called "0",
/// "1", ..., and give a `ConcatGate<Child>` where all are alike. A branch is a
/// holder, a `shared_ptr`, a module by value or an `AnyBranch`. Also from a
/// `std::shared_ptr<Impl>`; `nullptr` makes an empty holder.
///
/// Example:
/// ```
/// gatedpaths::ConcatGate gate(
///     gatedpaths::ConcatGateOptions(/*dim=*/1),
///     {{"a", conv_path()}, {"b", conv_path()}});
/// gate->set_open({0});
/// auto features = gate->forward(images);  // channels of "b" are zeros
/// ```
template <class Child = AnyBranch>
class ConcatGate
    : public detail::
          BranchHolder<ConcatGateImpl<Child>, ConcatGateOptions, Child> {
 public:
  /// Makes it in each of the forms above.
  using ConcatGate::BranchHolder::BranchHolder;
};

ConcatGate(std::nullptr_t) -> ConcatGate<>;

template <class Child>
ConcatGate(std::shared_ptr<ConcatGateImpl<Child>>) -> ConcatGate<Child>;

template <class Child = AnyBranch>
ConcatGate(const ConcatGateOptions&, std::initializer_list<NamedBranch<Child>>)
    -> ConcatGate<Child>;

template <class Child>
ConcatGate(const ConcatGateOptions&, const std::vector<NamedBranch<Child>>&)
    -> ConcatGate<Child>;

template <detail::BranchLike... M>
  requires(sizeof...(M) >= 1)
ConcatGate(const ConcatGateOptions&, M&&...)
    -> ConcatGate<detail::CommonChild<M...>>;

}  // namespace gatedpaths
