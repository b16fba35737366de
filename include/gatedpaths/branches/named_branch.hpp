// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/any_branch.hpp>
#include <gatedpaths/branches/output_shape.hpp>

#include <concepts>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace gatedpaths {
namespace detail {

template <class A, class B>
concept SameChild = std::is_same_v<ChildImpl<A>, ChildImpl<B>>;

/// Whether an `M` may be a branch of a gate over `Child`.
template <class M, class Child>
concept BranchOf = (std::is_same_v<std::remove_cvref_t<M>, AnyBranch> &&
                    std::is_same_v<Child, AnyBranch>) ||
                   (is_module_like<M> && std::is_same_v<Child, AnyBranch>) ||
                   (is_module_like<M> && SameChild<M, Child>);

}  // namespace detail

/// One element of a gate's list of branches: a name, a module, and what is
/// declared about its output.
///
/// The name is the prefix of the branch's parameters in checkpoints, and stands
/// in path texts and messages.
///
/// Example:
/// ```
/// ConcatGate gate(
///     ConcatGateOptions(1),
///     {{"conv3x3", conv3()}, {"conv5x5", conv5(), {32, 16, 16}}});
/// ```
template <class Child = AnyBranch>
struct NamedBranch {
  /// Names a module; an output shape may be declared for it.
  template <class M>
    requires detail::BranchOf<M, Child>
  NamedBranch(std::string branch_name, M&& module, OutputShape shape = {})
      : name(std::move(branch_name)),
        branch(std::forward<M>(module)),
        output_shape(std::move(shape)) {}

  std::string name;          ///< Unique within the gate; no dots.
  AnyBranch branch;          ///< The module.
  OutputShape output_shape;  ///< Overrides the gate's own declaration.
};

}  // namespace gatedpaths
