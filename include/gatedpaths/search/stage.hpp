// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/any_branch.hpp>
#include <gatedpaths/branches/detail/child.hpp>
#include <gatedpaths/export.hpp>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <concepts>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

namespace gatedpaths {

/// One of the steps that a network's forward consists of, each of which takes
/// what the one before it returned: a module, or anything that is called as
/// `Tensor(const Tensor&)`.
///
/// Of a module it is told which gates lie in it; of a function it is found out
/// by running it. A module is given by its holder or `shared_ptr`, or by a
/// reference that outlives the stage: it is the network's own, never a copy.
///
/// Shape: as the module's or function's.
///
/// Example, the forward of a network with a pooling that is no module:
/// ```
/// std::vector<gatedpaths::Stage> stages = {
///     net->stem, net->blocks[0], net->blocks[1],
///     [&](const torch::Tensor& x) { return net->head(x.mean({2, 3})); }};
/// ```
class GATEDPATHS_EXPORT Stage {
 public:
  /// What a stage is called as.
  using Function = std::function<at::Tensor(const at::Tensor&)>;

  /// A module in a holder or pointer.
  template <class Handle>
    requires(
        detail::ModuleHolderLike<std::remove_cvref_t<Handle>> ||
        detail::ModulePointer<std::remove_cvref_t<Handle>>)
  Stage(Handle&& module)  // NOLINT(google-explicit-constructor)
      : Stage(AnyBranch(std::forward<Handle>(module))) {}

  /// A module that outlives the stage.
  template <detail::UnaryTensorModule Module>
  Stage(Module& module)  // NOLINT(google-explicit-constructor)
      : module_(&module), function_([&module](const at::Tensor& input) {
          return at::Tensor(module.forward(input));
        }) {}

  /// A function.
  template <class Callable>
    requires(
        !detail::is_module_like<Callable> &&
        !std::same_as<std::remove_cvref_t<Callable>, Stage> &&
        !std::same_as<std::remove_cvref_t<Callable>, AnyBranch> &&
        std::is_invocable_r_v<at::Tensor, Callable&, const at::Tensor&>)
  Stage(Callable&& function)  // NOLINT(google-explicit-constructor)
      : function_(std::forward<Callable>(function)) {}

  /// A module of any type.
  ///
  /// Throws: `c10::ValueError` for an empty holder, pointer or branch.
  Stage(const AnyBranch& module);  // NOLINT(google-explicit-constructor)

  /// The module; null for a function.
  torch::nn::Module* module() const noexcept { return module_; }

  /// Runs it.
  at::Tensor operator()(const at::Tensor& input) const {
    return function_(input);
  }

 private:
  torch::nn::Module* module_ = nullptr;
  Function function_;
};

}  // namespace gatedpaths
