// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/common.h>

#include <concepts>
#include <cstddef>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

/// Finds out how a module's `forward` is called, and gives a class one
/// `forward` of the same signature. It must be one function, neither a template
/// nor an overload set, or `torch::nn::Sequential` could not take the module.

namespace gatedpaths::detail {

template <class... T>
struct TypeList {
  static constexpr size_t size = sizeof...(T);
};

/// A parameter that may be left out, because the child has a default for it.
template <class T>
class Defaulted {
 public:
  Defaulted() = default;
  template <class U>
    requires std::convertible_to<U&&, T> &&
             (!std::is_same_v<std::remove_cvref_t<U>, Defaulted>)
  Defaulted(U&& value)  // NOLINT(google-explicit-constructor)
      : value_(std::forward<U>(value)) {}

  bool given() const noexcept { return value_.has_value(); }
  const T& value() const { return *value_; }

 private:
  std::optional<T> value_;
};

template <class F>
struct MemberFunction;
template <class C, class R, class... A>
struct MemberFunction<R (C::*)(A...)> {
  using Result = R;
  using Arguments = TypeList<A...>;
};
template <class C, class R, class... A>
struct MemberFunction<R (C::*)(A...) const> : MemberFunction<R (C::*)(A...)> {};
template <class C, class R, class... A>
struct MemberFunction<R (C::*)(A...) noexcept>
    : MemberFunction<R (C::*)(A...)> {};
template <class C, class R, class... A>
struct MemberFunction<R (C::*)(A...) const noexcept>
    : MemberFunction<R (C::*)(A...)> {};

/// Neither a template nor overloaded.
template <class Impl>
concept HasOneForward =
    requires { typename MemberFunction<decltype(&Impl::forward)>::Result; };

/// The first `n` types of a list, and the rest.
template <size_t n, class Taken, class Rest>
struct SplitList;
template <class... T, class... R>
struct SplitList<0, TypeList<T...>, TypeList<R...>> {
  using First = TypeList<T...>;
  using Second = TypeList<R...>;
};
template <size_t n, class... T, class R, class... Rest>
  requires(n > 0)
struct SplitList<n, TypeList<T...>, TypeList<R, Rest...>>
    : SplitList<n - 1, TypeList<T..., R>, TypeList<Rest...>> {};

template <class Impl, class List>
struct CallableWith;
template <class Impl, class... A>
struct CallableWith<Impl, TypeList<A...>> {
  static constexpr bool value =
      requires(Impl& module, A... args) { module.forward(args...); };
};

/// A module whose `forward` can be called with such arguments.
template <class Impl, class... A>
concept ForwardsWith = requires(Impl& module, A&&... args) {
  module.forward(std::forward<A>(args)...);
};

/// The least number of arguments that `forward` can be called with.
template <class Impl, class List, size_t n = 0>
constexpr size_t required_arguments() {
  if constexpr (n >= List::size) {
    return List::size;
  } else if constexpr (CallableWith<
                           Impl,
                           typename SplitList<n, TypeList<>, List>::First>::
                           value) {
    return n;
  } else {
    return required_arguments<Impl, List, n + 1>();
  }
}

/// How `forward` of a module is called.
template <class Impl>
struct ForwardSignature {
  // Templated or overloaded, as in Sequential: what a branch is called with.
  using Result = std::remove_cvref_t<decltype(std::declval<Impl&>().forward(
      std::declval<const torch::Tensor&>()))>;
  using Required = TypeList<const torch::Tensor&>;
  using Optional = TypeList<>;
};
template <HasOneForward Impl>
struct ForwardSignature<Impl> {
  using Function = MemberFunction<decltype(&Impl::forward)>;
  using Result = std::remove_cvref_t<typename Function::Result>;
  using Split = SplitList<
      required_arguments<Impl, typename Function::Arguments>(),
      TypeList<>,
      typename Function::Arguments>;
  using Required = typename Split::First;
  using Optional = typename Split::Second;
};

/// Calls `run` with the arguments up to the first one left out.
template <class Run, class Given>
decltype(auto) call_with_given(Run&& run, Given given) {
  return std::apply(std::forward<Run>(run), std::move(given));
}
template <class Run, class Given, class T, class... Rest>
decltype(auto) call_with_given(
    Run&& run,
    Given given,
    const Defaulted<T>& next,
    const Defaulted<Rest>&... rest) {
  if (!next.given()) {
    TORCH_CHECK_VALUE(
        !(rest.given() || ...),
        "forward: expected no argument after the first one that is left out");
    return std::apply(std::forward<Run>(run), std::move(given));
  }
  return call_with_given(
      std::forward<Run>(run),
      std::tuple_cat(std::move(given), std::tuple<const T&>(next.value())),
      rest...);
}

/// A parameter that takes a tensor and leaves it as it is.
template <class A>
concept TensorParameter =
    std::same_as<A, at::Tensor> || std::same_as<A, const at::Tensor&> ||
    std::same_as<A, at::Tensor&&>;

/// Gives `Derived` a `forward` that takes what the child takes and calls
/// `run(args...)`. It is one function for up to two defaulted parameters;
/// beyond that, a template. From one tensor to one tensor it has a second
/// parameter, with which it calls `forward_samples(open, input)`.
template <class Derived, class Base, class R, class Required, class Optional>
class WithForward : public Base {
 public:
  using Base::Base;

  /// Takes what the child takes and returns what the child returns.
  template <class... A>
  R forward(A&&... args) {
    return static_cast<Derived*>(this)->run(std::forward<A>(args)...);
  }
};

template <class Derived, class Base, class R, class... A>
class WithForward<Derived, Base, R, TypeList<A...>, TypeList<>> : public Base {
 public:
  using Base::Base;

  /// Takes what the child takes and returns what the child returns.
  R forward(A... args) {
    return static_cast<Derived*>(this)->run(std::forward<A>(args)...);
  }
};

template <class Derived, class Base, TensorParameter A>
class WithForward<Derived, Base, at::Tensor, TypeList<A>, TypeList<>>
    : public Base {
 public:
  using Base::Base;

  /// Takes what the child takes and returns what the child returns. `open`,
  /// where it is given, has the gates for each sample, as for
  /// `forward_samples`.
  at::Tensor forward(A input, const at::Tensor& open = {}) {
    auto* derived = static_cast<Derived*>(this);
    return open.defined()
               ? derived->forward_samples(open, std::forward<A>(input))
               : derived->run(std::forward<A>(input));
  }

 protected:
  FORWARD_HAS_DEFAULT_ARGS({1, torch::nn::AnyValue(at::Tensor())})
};

template <class Derived, class Base, class R, class... A, class D>
class WithForward<Derived, Base, R, TypeList<A...>, TypeList<D>> : public Base {
  using Last = Defaulted<std::decay_t<D>>;

 public:
  using Base::Base;

  /// Takes what the child takes and returns what the child returns. An argument
  /// that is left out has the child's default.
  R forward(A... args, Last last = {}) {
    return call_with_given(
        [this](auto&&... given) -> R {
          return static_cast<Derived*>(this)->run(
              std::forward<decltype(given)>(given)...);
        },
        std::tuple<A&&...>(std::forward<A>(args)...),
        last);
  }

 protected:
  FORWARD_HAS_DEFAULT_ARGS({sizeof...(A), torch::nn::AnyValue(Last())})
};

template <class Derived, class Base, class R, class... A, class D, class E>
class WithForward<Derived, Base, R, TypeList<A...>, TypeList<D, E>>
    : public Base {
  using Next = Defaulted<std::decay_t<D>>;
  using Last = Defaulted<std::decay_t<E>>;

 public:
  using Base::Base;

  /// Takes what the child takes and returns what the child returns. Arguments
  /// that are left out have the child's defaults.
  R forward(A... args, Next next = {}, Last last = {}) {
    return call_with_given(
        [this](auto&&... given) -> R {
          return static_cast<Derived*>(this)->run(
              std::forward<decltype(given)>(given)...);
        },
        std::tuple<A&&...>(std::forward<A>(args)...),
        next,
        last);
  }

 protected:
  FORWARD_HAS_DEFAULT_ARGS(
      {sizeof...(A), torch::nn::AnyValue(Next())},
      {sizeof...(A) + 1, torch::nn::AnyValue(Last())})
};

}  // namespace gatedpaths::detail
