// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>

#include <concepts>
#include <cstdint>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace gatedpaths::detail {

/// The dtype that autocast computes in on such a device; empty where autocast
/// is off, or there is none.
GATEDPATHS_EXPORT std::optional<at::ScalarType> autocast_dtype(
    at::DeviceType device);

/// What decides the shape of an output, except the batch size: the sizes
/// without the batch dim, dtype, device and memory format of every tensor in
/// the arguments, plain numbers, and autocast.
///
/// The batch dim is the first dim of the first tensor; other tensors' first
/// dims are left out where they have the same size.
class GATEDPATHS_EXPORT InputSignature {
 public:
  InputSignature() = default;

  template <class... Args>
  static InputSignature of(const Args&... args) {
    InputSignature signature;
    (signature.add(args), ...);
    signature.add_autocast();
    return signature;
  }

  /// The size of the batch dim; -1 where the first tensor has no dims, or there
  /// is no tensor.
  int64_t batch() const noexcept { return batch_; }

  /// The first tensor of the arguments; null where there is none. Only valid as
  /// long as they are.
  const at::Tensor* first_tensor() const noexcept { return first_tensor_; }

  /// Rises when one of the tensors is changed in place. No part of what is
  /// compared.
  int64_t versions() const noexcept { return versions_; }

  void forget_tensor() noexcept { first_tensor_ = nullptr; }

  bool operator==(const InputSignature& other) const noexcept {
    return code_ == other.code_;
  }

 private:
  void add(const at::Tensor& tensor);
  void add_autocast();

  template <class T>
  void add(const std::optional<T>& value) {
    code_.push_back(value.has_value() ? 1 : 0);
    if (value) {
      add(*value);
    }
  }
  template <class... T>
  void add(const std::tuple<T...>& values) {
    std::apply([this](const auto&... value) { (add(value), ...); }, values);
  }
  template <class A, class B>
  void add(const std::pair<A, B>& values) {
    add(values.first);
    add(values.second);
  }
  template <class T>
  void add(const std::vector<T>& values) {
    code_.push_back(static_cast<int64_t>(values.size()));
    for (const auto& value : values) {
      add(value);
    }
  }
  template <class T>
    requires std::integral<T> || std::is_enum_v<T>
  void add(const T& value) {
    code_.push_back(static_cast<int64_t>(value));
  }
  // Array references, such as the output size of a transposed convolution;
  // texts.
  template <std::ranges::forward_range T>
  void add(const T& values) {
    code_.push_back(static_cast<int64_t>(std::ranges::distance(values)));
    for (const auto& value : values) {
      add(value);
    }
  }
  // Anything else is taken not to change the shape of the output.
  template <class T>
  void add(const T& /*value*/) {}

  c10::SmallVector<int64_t, 16> code_;
  int64_t batch_ = -1;
  int64_t versions_ = 0;
  const at::Tensor* first_tensor_ = nullptr;
  c10::DeviceType device_type_ = c10::DeviceType::CPU;
};

}  // namespace gatedpaths::detail
