// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/named_branch.hpp>

#include <torch/nn/pimpl.h>

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

/// How gates are made from branches, and which type the branches have where it
/// is not said.

namespace gatedpaths::detail {

template <class M>
concept BranchLike =
    is_module_like<M> || std::is_same_v<std::remove_cvref_t<M>, AnyBranch>;

/// The common type of unnamed branches: theirs, or `AnyBranch` for unlike ones.
template <class First, class... Rest>
struct CommonChildOf {
  using type = AnyBranch;
};
template <class First, class... Rest>
  requires(
      is_module_like<First> && (is_module_like<Rest> && ...) &&
      (std::is_same_v<ChildImpl<First>, ChildImpl<Rest>> && ...))
struct CommonChildOf<First, Rest...> {
  using type = std::remove_cvref_t<First>;
};
template <class... M>
using CommonChild = typename CommonChildOf<M...>::type;

/// The branches of a gate over `Child`, with their types erased.
template <class Child>
std::vector<NamedBranch<>> erase_branches(
    c10::ArrayRef<NamedBranch<Child>> branches) {
  std::vector<NamedBranch<>> erased;
  erased.reserve(branches.size());
  for (const auto& branch : branches) {
    erased.emplace_back(branch.name, branch.branch, branch.output_shape);
  }
  return erased;
}

/// Branches without names: they are called "0", "1", ...
template <class... M>
std::vector<NamedBranch<>> number_branches(M&&... modules) {
  std::vector<NamedBranch<>> branches;
  branches.reserve(sizeof...(M));
  (branches.emplace_back(
       std::to_string(branches.size()), AnyBranch(std::forward<M>(modules))),
   ...);
  return branches;
}

/// The empty holder, and that of an existing module: `ModuleHolder` without the
/// constructor that takes whatever the module's own do.
template <class ImplType>
class GateHolder : public torch::nn::ModuleHolder<ImplType> {
  using Base = torch::nn::ModuleHolder<ImplType>;

 public:
  /// The module's type.
  using Impl = ImplType;

  /// An empty holder.
  GateHolder(std::nullptr_t) : Base(nullptr) {}  // NOLINT

  /// Holds an existing module.
  GateHolder(std::shared_ptr<Impl> module)  // NOLINT
      : Base(std::move(module)) {}
};

/// A holder of a gate over branches of type `Child`. Deduction does not look
/// into inherited constructors, so a deriving class needs a guide for each
/// form.
template <class ImplType, class Options, class Child>
class BranchHolder : public GateHolder<ImplType> {
 public:
  using GateHolder<ImplType>::GateHolder;

  /// Named branches.
  BranchHolder(
      const Options& options,
      std::initializer_list<NamedBranch<Child>> branches)
      : BranchHolder(std::make_shared<ImplType>(
            options, erase_branches<Child>(branches))) {}
  /// \overload
  BranchHolder(
      const Options& options, const std::vector<NamedBranch<Child>>& branches)
      : BranchHolder(std::make_shared<ImplType>(
            options, erase_branches<Child>(branches))) {}

  /// Branches without names; they are called "0", "1", ...
  template <BranchOf<Child>... M>
    requires(sizeof...(M) >= 1)
  explicit BranchHolder(const Options& options, M&&... modules)
      : BranchHolder(std::make_shared<ImplType>(
            options, number_branches(std::forward<M>(modules)...))) {}
};

}  // namespace gatedpaths::detail
