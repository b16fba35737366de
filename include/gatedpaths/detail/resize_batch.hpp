// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/detail/output_memory.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

/// Arguments as a child takes them, with another number of samples: zeros in
/// place of every tensor whose first dim is the batch, everything else as it
/// is.

namespace gatedpaths::detail {

template <class T>
struct BatchResizer {
  static T apply(const T& value, int64_t /*batch*/, int64_t /*samples*/) {
    return value;
  }
};

// Of an array, such as a text, a pointer comes back.
template <class T>
std::decay_t<const T> resize_batch(
    const T& value, int64_t batch, int64_t samples) {
  return BatchResizer<std::decay_t<const T>>::apply(value, batch, samples);
}

template <>
struct BatchResizer<at::Tensor> {
  static at::Tensor apply(
      const at::Tensor& value, int64_t batch, int64_t samples) {
    if (!value.defined() || value.dim() == 0 || value.size(0) != batch) {
      return value;
    }
    return InputKind::of(value).zeros(samples);
  }
};

template <class T>
struct BatchResizer<std::optional<T>> {
  static std::optional<T> apply(
      const std::optional<T>& value, int64_t batch, int64_t samples) {
    return value ? std::optional<T>(resize_batch(*value, batch, samples))
                 : std::nullopt;
  }
};

template <class... T>
struct BatchResizer<std::tuple<T...>> {
  static std::tuple<T...> apply(
      const std::tuple<T...>& values, int64_t batch, int64_t samples) {
    return std::apply(
        [&](const T&... part) {
          return std::tuple<T...>(resize_batch(part, batch, samples)...);
        },
        values);
  }
};

template <class A, class B>
struct BatchResizer<std::pair<A, B>> {
  static std::pair<A, B> apply(
      const std::pair<A, B>& values, int64_t batch, int64_t samples) {
    return {
        resize_batch(values.first, batch, samples),
        resize_batch(values.second, batch, samples)};
  }
};

template <class T>
struct BatchResizer<std::vector<T>> {
  static std::vector<T> apply(
      const std::vector<T>& values, int64_t batch, int64_t samples) {
    std::vector<T> resized;
    resized.reserve(values.size());
    for (const T& value : values) {
      resized.push_back(resize_batch(value, batch, samples));
    }
    return resized;
  }
};

}  // namespace gatedpaths::detail
