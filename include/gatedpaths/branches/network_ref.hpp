// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/child.hpp>
#include <gatedpaths/export.hpp>

#include <torch/nn/module.h>

#include <cstddef>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>

namespace gatedpaths {
namespace detail {

/// A network as its user holds it: by a LibTorch holder, or by a `shared_ptr`.
template <class T>
concept NetworkHandle = ModuleHolderLike<std::remove_cvref_t<T>> ||
                        ModulePointer<std::remove_cvref_t<T>>;

}  // namespace detail

/// The network that a function is given, in any of three forms: a reference, a
/// LibTorch holder, or a `shared_ptr`. Each becomes one by itself; nobody has
/// to name the type but who writes such a function.
///
/// Example:
/// ```
/// gatedpaths::PathSpace by_holder(net);         // TORCH_MODULE(Net) net
/// gatedpaths::PathSpace by_pointer(net.ptr());  // a shared_ptr
/// gatedpaths::PathSpace by_reference(*net);     // or one on the stack
/// ```
class GATEDPATHS_EXPORT NetworkRef {
 public:
  /// A network that outlives this, or that a `shared_ptr` owns.
  NetworkRef(torch::nn::Module& network)  // NOLINT
      : module_(&network), owner_(network.weak_from_this().lock()) {}

  /// A network in a holder or pointer.
  template <detail::NetworkHandle Handle>
  NetworkRef(const Handle& handle)  // NOLINT
      : owner_(detail::child_ptr(handle)) {
    module_ = owner_.get();
  }

  /// None, which `module` refuses.
  NetworkRef(std::nullptr_t) {}  // NOLINT

  /// The network.
  ///
  /// Throws: `c10::ValueError`, in the name of `function`, where the holder or
  /// pointer was empty.
  torch::nn::Module& module(std::string_view function) const;

  /// What owns the network; null for one on the stack.
  const std::shared_ptr<torch::nn::Module>& owner() const& noexcept {
    return owner_;
  }
  /// \overload
  std::shared_ptr<torch::nn::Module> owner() const&& { return owner_; }

 private:
  torch::nn::Module* module_ = nullptr;
  std::shared_ptr<torch::nn::Module> owner_;
};

}  // namespace gatedpaths
