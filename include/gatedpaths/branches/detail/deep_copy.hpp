// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/clone_module.hpp>

#include <c10/util/Exception.h>
#include <torch/nn/module.h>

#include <memory>
#include <optional>

namespace gatedpaths::detail {

/// Copies `Derived` by its own `clone()` where a `torch::nn::Cloneable` parent
/// copies its children.
template <class Derived, class Base>
class CopiedByClone : public Base {
 public:
  using Base::Base;

 private:
  void clone_(
      torch::nn::Module& other,
      const std::optional<torch::Device>& device) override {
    const auto copy = other.clone(device);
    const auto* own = dynamic_cast<const Derived*>(copy.get());
    TORCH_CHECK_TYPE(
        own != nullptr,
        "clone: expected ",
        type_text(this),
        ", as reset() registers, got ",
        type_text(copy.get()));
    static_cast<Derived&>(*this) = *own;
  }
};

/// Gives `Derived` a deep copy: that of its members, in which `copy_parts`,
/// which it must have, replaces what would be shared.
template <class Derived, class Base>
class DeepCopied : public CopiedByClone<Derived, Base> {
 public:
  using CopiedByClone<Derived, Base>::CopiedByClone;

  /// A deep copy that shares nothing: names, what is open and what was drawn,
  /// train and eval modes and `requires_grad` are kept. On `device`, where one
  /// is given.
  ///
  /// Throws: `c10::TypeError` where a module below has no clone() of its own
  /// but inherits one, and so is copied as another type.
  std::shared_ptr<torch::nn::Module> clone(
      const std::optional<torch::Device>& device =
          std::nullopt) const override {
    auto copy = std::make_shared<Derived>(static_cast<const Derived&>(*this));
    copy->copy_parts(device);
    return copy;
  }
};

}  // namespace gatedpaths::detail
