// SPDX-License-Identifier: MIT
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

/// How every form in which a user hands over a module becomes a `shared_ptr` to
/// its implementation: holders (`torch::nn::Linear`), pointers
/// (`shared_ptr<torch::nn::LinearImpl>`) and modules by value.

namespace gatedpaths::detail {

template <class T>
struct IsSharedPtr : std::false_type {};
template <class T>
struct IsSharedPtr<std::shared_ptr<T>> : std::true_type {};

template <class T>
concept ModuleHolderLike =
    std::is_base_of_v<torch::detail::ModuleHolderIndicator, T>;

template <class T>
concept ModulePointer =
    IsSharedPtr<T>::value &&
    std::derived_from<typename T::element_type, torch::nn::Module>;

template <class T>
concept ModuleValue = std::derived_from<T, torch::nn::Module>;

/// Whether `M` is one of the three forms.
template <class M>
inline constexpr bool is_module_like =
    ModuleHolderLike<std::remove_cvref_t<M>> ||
    ModulePointer<std::remove_cvref_t<M>> ||
    ModuleValue<std::remove_cvref_t<M>>;

template <class T>
struct ChildImplOf;
template <ModuleHolderLike T>
struct ChildImplOf<T> {
  using type = typename T::ContainedType;
};
template <ModulePointer T>
struct ChildImplOf<T> {
  using type = typename T::element_type;
};
template <ModuleValue T>
struct ChildImplOf<T> {
  using type = T;
};

/// The implementation type behind a form: `LinearImpl` for `Linear`.
template <class M>
using ChildImpl = typename ChildImplOf<std::remove_cvref_t<M>>::type;

/// Whether a module can be called as `Tensor forward(const Tensor&)`.
template <class Impl>
concept UnaryTensorModule = std::derived_from<Impl, torch::nn::Module> &&
                            requires(Impl& module, const torch::Tensor& input) {
                              {
                                module.forward(input)
                              } -> std::convertible_to<torch::Tensor>;
                            };

/// The module as a pointer; null where the holder or pointer is empty.
template <class M>
std::shared_ptr<ChildImpl<M>> child_ptr(M&& module) {
  using T = std::remove_cvref_t<M>;
  if constexpr (ModuleHolderLike<T>) {
    return module.is_empty() ? nullptr : module.ptr();
  } else if constexpr (ModulePointer<T>) {
    return std::forward<M>(module);
  } else {
    return std::make_shared<T>(std::forward<M>(module));
  }
}

/// The form that a user gave, around a pointer again.
template <class M>
using ChildHandle =
    std::conditional_t<ModuleHolderLike<M>, M, std::shared_ptr<ChildImpl<M>>>;

}  // namespace gatedpaths::detail
