// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/any_branch.hpp>
#include <gatedpaths/branches/detail/child.hpp>
#include <gatedpaths/branches/detail/deep_copy.hpp>
#include <gatedpaths/export.hpp>
#include <gatedpaths/slots/slots.hpp>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <memory>
#include <optional>
#include <ostream>
#include <type_traits>
#include <utility>

namespace gatedpaths {

/// The module behind `SlotMap`, which see.
class GATEDPATHS_EXPORT SlotMapImpl
    : public detail::DeepCopied<SlotMapImpl, torch::nn::Module> {
 public:
  /// Registers the module as "module".
  SlotMapImpl(AnyBranch module, NonZero non_zero);

  /// Applies the module to the value of each slot that holds one.
  Slots forward(const Slots& slots);

  /// Prints `gatedpaths::SlotMap(non_zero=kRefuse)`.
  void pretty_print(std::ostream& stream) const override;

 private:
  friend DeepCopied;
  void copy_parts(const std::optional<torch::Device>& device);

  AnyBranch module_;
  NonZero non_zero_;
  bool tried_ = false;
};

/// Applies a module to the value of each slot: relu, pooling, dropout, whatever
/// leaves zeros zero. As `Slots::map`, but whether it does is tried in the
/// first forward only.
///
/// Training and eval: as the module.
///
/// Shape: slots of what the module takes; slots of what it returns.
///
/// Throws: `c10::ValueError` for an empty holder, when made; in `forward` as
/// `Slots::map`.
///
/// Example: `SlotMap pool(torch::nn::MaxPool2d(2)); pool->forward(slots);`
class SlotMap : public torch::nn::ModuleHolder<SlotMapImpl> {
 public:
  /// The module's type.
  using Impl = SlotMapImpl;

  /// An empty holder.
  SlotMap(std::nullptr_t) : ModuleHolder(nullptr) {}  // NOLINT

  /// Holds an existing module.
  SlotMap(std::shared_ptr<Impl> module)  // NOLINT
      : ModuleHolder(std::move(module)) {}

  /// Wraps a module of one tensor.
  template <class M>
    requires detail::is_module_like<M>
  explicit SlotMap(M&& module, NonZero non_zero = NonZero::kRefuse)
      : ModuleHolder(std::make_shared<Impl>(
            AnyBranch(std::forward<M>(module)), non_zero)) {}
};

}  // namespace gatedpaths
