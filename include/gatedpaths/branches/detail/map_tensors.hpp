// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/FunctionRef.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

/// Arguments as a child takes them, with a function applied to every tensor;
/// everything else as it is.

namespace gatedpaths::detail {

using TensorFunction = c10::function_ref<at::Tensor(const at::Tensor&)>;

template <class T>
struct TensorMapper {
  static T apply(const T& value, TensorFunction /*function*/) { return value; }
};

// Of an array, such as a text, a pointer comes back.
template <class T>
auto map_tensors(const T& value, TensorFunction function) {
  return TensorMapper<std::decay_t<const T>>::apply(value, function);
}

template <>
struct TensorMapper<at::Tensor> {
  static at::Tensor apply(const at::Tensor& value, TensorFunction function) {
    return value.defined() ? function(value) : value;
  }
};

template <class T>
struct TensorMapper<std::vector<T>> {
  static auto apply(const std::vector<T>& values, TensorFunction function) {
    std::vector<T> mapped;
    mapped.reserve(values.size());
    for (const T& value : values) {
      mapped.push_back(map_tensors(value, function));
    }
    return mapped;
  }
};

// A reference to a list: what it refers to has to live, so a list comes back.
template <>
struct TensorMapper<at::TensorList> {
  static auto apply(at::TensorList values, TensorFunction function) {
    return map_tensors(values.vec(), function);
  }
};

template <class T, size_t n>
struct TensorMapper<std::array<T, n>> {
  static auto apply(std::array<T, n> values, TensorFunction function) {
    for (T& value : values) {
      value = map_tensors(value, function);
    }
    return values;
  }
};

template <class T>
struct TensorMapper<std::optional<T>> {
  static auto apply(const std::optional<T>& value, TensorFunction function) {
    using Mapped = decltype(map_tensors(*value, function));
    return value ? std::optional<Mapped>(map_tensors(*value, function))
                 : std::nullopt;
  }
};

template <class... T>
struct TensorMapper<std::tuple<T...>> {
  static auto apply(const std::tuple<T...>& values, TensorFunction function) {
    return std::apply(
        [&](const T&... part) {
          return std::make_tuple(map_tensors(part, function)...);
        },
        values);
  }
};

template <class A, class B>
struct TensorMapper<std::pair<A, B>> {
  static auto apply(const std::pair<A, B>& values, TensorFunction function) {
    return std::make_pair(
        map_tensors(values.first, function),
        map_tensors(values.second, function));
  }
};

/// `call(args...)` with `function(place, tensor)` for every tensor, where
/// `place` is that of its argument, from 0.
template <class Call, class Function, class... A>
decltype(auto) map_arguments(
    Call&& call, const Function& function, const A&... args) {
  return [&]<size_t... place>(std::index_sequence<place...>) -> decltype(auto) {
    return std::forward<Call>(call)(
        map_tensors(args, [&](const at::Tensor& tensor) {
          return function(static_cast<int64_t>(place), tensor);
        })...);
  }(std::index_sequence_for<A...>());
}

}  // namespace gatedpaths::detail
