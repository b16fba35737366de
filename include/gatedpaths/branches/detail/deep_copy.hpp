// SPDX-License-Identifier: MIT
#pragma once

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
    static_cast<Derived&>(*this) =
        dynamic_cast<const Derived&>(*other.clone(device));
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
  std::shared_ptr<torch::nn::Module> clone(
      const std::optional<torch::Device>& device =
          std::nullopt) const override {
    auto copy = std::make_shared<Derived>(static_cast<const Derived&>(*this));
    copy->copy_parts(device);
    return copy;
  }
};

}  // namespace gatedpaths::detail
