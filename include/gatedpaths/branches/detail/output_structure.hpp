// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/output_spec.hpp>

#include <cstddef>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

/// Takes outputs apart into tensors and puts them together again: tensors, and
/// nested tuples, pairs, vectors and optionals of them.

namespace gatedpaths::detail {

template <class T>
struct OutputPart : std::false_type {};

template <class T>
concept OutputType = OutputPart<T>::value;

/// Walks the tensors of an output in their fixed order.
class OutputReader {
 public:
  explicit OutputReader(const FlatOutput& flat) : flat_(flat) {}

  at::Tensor tensor() { return flat_.tensors[next_tensor_++]; }
  int64_t count() { return flat_.structure[next_count_++]; }

 private:
  const FlatOutput& flat_;
  size_t next_tensor_ = 0;
  size_t next_count_ = 0;
};

template <>
struct OutputPart<at::Tensor> : std::true_type {
  static void flatten(const at::Tensor& value, FlatOutput& flat) {
    flat.tensors.push_back(value);
  }
  static at::Tensor build(OutputReader& reader) { return reader.tensor(); }
};

template <OutputType... T>
struct OutputPart<std::tuple<T...>> : std::true_type {
  static void flatten(const std::tuple<T...>& value, FlatOutput& flat) {
    std::apply(
        [&flat](const T&... part) {
          (OutputPart<T>::flatten(part, flat), ...);
        },
        value);
  }
  static std::tuple<T...> build(OutputReader& reader) {
    // Braces, since the parts must be read in order.
    return std::tuple<T...>{OutputPart<T>::build(reader)...};
  }
};

template <OutputType A, OutputType B>
struct OutputPart<std::pair<A, B>> : std::true_type {
  static void flatten(const std::pair<A, B>& value, FlatOutput& flat) {
    OutputPart<A>::flatten(value.first, flat);
    OutputPart<B>::flatten(value.second, flat);
  }
  static std::pair<A, B> build(OutputReader& reader) {
    return std::pair<A, B>{
        OutputPart<A>::build(reader), OutputPart<B>::build(reader)};
  }
};

template <OutputType T>
struct OutputPart<std::vector<T>> : std::true_type {
  static void flatten(const std::vector<T>& value, FlatOutput& flat) {
    flat.structure.push_back(static_cast<int64_t>(value.size()));
    for (const T& part : value) {
      OutputPart<T>::flatten(part, flat);
    }
  }
  static std::vector<T> build(OutputReader& reader) {
    std::vector<T> value;
    const int64_t count = reader.count();
    value.reserve(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) {
      value.push_back(OutputPart<T>::build(reader));
    }
    return value;
  }
};

template <OutputType T>
struct OutputPart<std::optional<T>> : std::true_type {
  static void flatten(const std::optional<T>& value, FlatOutput& flat) {
    flat.structure.push_back(value.has_value() ? 1 : 0);
    if (value) {
      OutputPart<T>::flatten(*value, flat);
    }
  }
  static std::optional<T> build(OutputReader& reader) {
    if (reader.count() == 0) {
      return std::nullopt;
    }
    return OutputPart<T>::build(reader);
  }
};

/// The output's tensors, in order.
template <OutputType T>
FlatOutput flatten_output(const T& value) {
  FlatOutput flat;
  OutputPart<T>::flatten(value, flat);
  return flat;
}

/// The output with the tensors of `flat`.
template <OutputType T>
T build_output(const FlatOutput& flat) {
  OutputReader reader(flat);
  return OutputPart<T>::build(reader);
}

}  // namespace gatedpaths::detail
