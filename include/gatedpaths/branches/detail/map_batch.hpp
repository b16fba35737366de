// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/FunctionRef.h>

#include <cstdint>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

/// Arguments as a child takes them, with a function applied to every tensor
/// whose first dim is the batch; everything else as it is.

namespace gatedpaths::detail {

using BatchFunction = c10::function_ref<at::Tensor(const at::Tensor&)>;

template <class T>
struct BatchMapper {
  static T apply(
      const T& value, int64_t /*batch*/, BatchFunction /*function*/) {
    return value;
  }
};

// Of an array, such as a text, a pointer comes back.
template <class T>
std::decay_t<const T> map_batch(
    const T& value, int64_t batch, BatchFunction function) {
  return BatchMapper<std::decay_t<const T>>::apply(value, batch, function);
}

template <>
struct BatchMapper<at::Tensor> {
  static at::Tensor apply(
      const at::Tensor& value, int64_t batch, BatchFunction function) {
    if (!value.defined() || value.dim() == 0 || value.size(0) != batch) {
      return value;
    }
    return function(value);
  }
};

template <class T>
struct BatchMapper<std::optional<T>> {
  static std::optional<T> apply(
      const std::optional<T>& value, int64_t batch, BatchFunction function) {
    return value ? std::optional<T>(map_batch(*value, batch, function))
                 : std::nullopt;
  }
};

template <class... T>
struct BatchMapper<std::tuple<T...>> {
  static std::tuple<T...> apply(
      const std::tuple<T...>& values, int64_t batch, BatchFunction function) {
    return std::apply(
        [&](const T&... part) {
          return std::tuple<T...>(map_batch(part, batch, function)...);
        },
        values);
  }
};

template <class A, class B>
struct BatchMapper<std::pair<A, B>> {
  static std::pair<A, B> apply(
      const std::pair<A, B>& values, int64_t batch, BatchFunction function) {
    return {
        map_batch(values.first, batch, function),
        map_batch(values.second, batch, function)};
  }
};

template <class T>
struct BatchMapper<std::vector<T>> {
  static std::vector<T> apply(
      const std::vector<T>& values, int64_t batch, BatchFunction function) {
    std::vector<T> mapped;
    mapped.reserve(values.size());
    for (const T& value : values) {
      mapped.push_back(map_batch(value, batch, function));
    }
    return mapped;
  }
};

}  // namespace gatedpaths::detail
