// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/child.hpp>
#include <gatedpaths/export.hpp>

#include <torch/nn/module.h>

#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace gatedpaths {

/// A branch of any type: every `torch::nn::Module` that can be called as
/// `Tensor forward(Tensor)`.
///
/// Made from a module holder, a `shared_ptr` to a module, or a module by value.
/// Unlike `torch::nn::AnyModule` it boxes nothing: templated, overloaded and
/// defaulted `forward`s work, `torch::nn::Sequential` included, and a call
/// costs one indirection. It is a handle: copies share the module.
///
/// Shape: as the module's.
///
/// Example:
/// ```
/// gatedpaths::AnyBranch branch = torch::nn::Linear(3, 4);
/// auto y = branch.forward(x);                        // [N, 3] -> [N, 4]
/// branch.get<torch::nn::LinearImpl>().weight;        // typed again
/// ```
class GATEDPATHS_EXPORT AnyBranch {
 public:
  /// An empty handle; only assignment, `ptr()` and `operator bool` are allowed.
  AnyBranch() = default;

  /// Wraps `module`. A module by value is moved (or copied) into the handle.
  template <class M>
    requires(
        detail::is_module_like<M> &&
        !std::is_same_v<std::remove_cvref_t<M>, AnyBranch>)
  AnyBranch(M&& module) {  // NOLINT(google-explicit-constructor)
    using Impl = detail::ChildImpl<M>;
    static_assert(
        detail::UnaryTensorModule<Impl>,
        "a branch must be callable as `Tensor forward(const Tensor&)`; wrap a "
        "module with other arguments or results in one of your own that is, or "
        "use GatedBranch<Child>, which takes any arguments");
    adopt(detail::child_ptr(std::forward<M>(module)));
  }

  /// Runs the module.
  torch::Tensor forward(const torch::Tensor& input) const {
    return call_(impl_, input);
  }

  /// The module, as a module.
  const std::shared_ptr<torch::nn::Module>& ptr() const& noexcept {
    return module_;
  }
  /// \overload
  std::shared_ptr<torch::nn::Module> ptr() const&& { return module_; }

  /// Whether there is a module.
  explicit operator bool() const noexcept { return module_ != nullptr; }

  /// The module, typed: `get<torch::nn::Conv2dImpl>()`.
  ///
  /// Throws: `c10::TypeError` where it is of another type.
  template <class Impl>
  Impl& get() const {
    return *ptr<Impl>();
  }

  /// The module's typed pointer.
  ///
  /// Throws: `c10::TypeError` where it is of another type.
  template <class Impl>
  std::shared_ptr<Impl> ptr() const {
    auto typed = std::dynamic_pointer_cast<Impl>(module_);
    const torch::nn::Module* held = module_.get();
    TORCH_CHECK_TYPE(
        typed,
        "AnyBranch::get: expected a ",
        c10::demangle(typeid(Impl).name()),
        ", got ",
        held != nullptr ? "a " + c10::demangle(typeid(*held).name())
                        : "an empty branch");
    return typed;
  }

  /// A branch with a deep copy of the module, which keeps train and eval modes,
  /// `requires_grad`, and the names in a `torch::nn::Sequential`.
  ///
  /// Throws: `c10::TypeError` where a module in it is copied as another type,
  /// since its class inherits the clone() of another class.
  AnyBranch clone(
      const std::optional<torch::Device>& device = std::nullopt) const;

  /// The same kind of branch around another module of the same type.
  ///
  /// Throws: `c10::TypeError` where `module` is of another type.
  AnyBranch rebind(std::shared_ptr<torch::nn::Module> module) const;

 private:
  using Call = torch::Tensor (*)(void*, const torch::Tensor&);
  using Cast = void* (*)(torch::nn::Module*);

  template <class Impl>
  void adopt(std::shared_ptr<Impl> module) {
    impl_ = module.get();
    module_ = std::move(module);
    call_ = [](void* impl, const torch::Tensor& input) -> torch::Tensor {
      return static_cast<Impl*>(impl)->forward(input);
    };
    cast_ = [](torch::nn::Module* other) -> void* {
      return dynamic_cast<Impl*>(other);
    };
  }

  std::shared_ptr<torch::nn::Module> module_;
  void* impl_ = nullptr;  // of the type that call_ expects
  Call call_ = nullptr;
  Cast cast_ = nullptr;
};

}  // namespace gatedpaths
