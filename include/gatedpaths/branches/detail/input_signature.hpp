// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/Scalar.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>
#include <c10/util/SmallVector.h>

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace gatedpaths::detail {

/// The dtype that autocast computes in on such a device; empty where autocast
/// is off, or there is none.
GATEDPATHS_EXPORT std::optional<at::ScalarType> autocast_dtype(
    at::DeviceType device);

/// What in the arguments decides the shape of an output, except the batch size:
/// the sizes without the batch dim, dtype, device and memory format of every
/// tensor, every number, text and flag, autocast and the default dtype.
///
/// The batch dim is the first dim of the first tensor; other tensors' first
/// dims are left out where they have the same size.
///
/// Of other types, those count that `std::hash` takes, and plain structs
/// without padding or floating members. Pointers and all else are taken not to
/// change the shape.
class GATEDPATHS_EXPORT InputSignature {
 public:
  /// A number among the arguments that may just be passed through. Flags and
  /// enumerators are none: they stand for a choice.
  struct Number {
    int64_t value = 0;   // of other than integers, something that is its own
    bool is_int = true;  // so that a size may follow it
  };
  using Numbers = c10::SmallVector<Number, 2>;

  InputSignature() = default;

  template <class... Args>
  static InputSignature of(const Args&... args) {
    InputSignature signature;
    (signature.add(args), ...);
    signature.add_surroundings();
    return signature;
  }

  /// The size of the batch dim; -1 where the first tensor has no dims, or there
  /// is no tensor.
  int64_t batch() const noexcept { return batch_; }

  /// The first tensor of the arguments; null where there is none. Only valid as
  /// long as they are.
  const at::Tensor* first_tensor() const noexcept { return first_tensor_; }

  void forget_tensor() noexcept { first_tensor_ = nullptr; }

  bool has_numbers() const noexcept { return !numbers_.empty(); }
  Numbers numbers() const;

  /// The same for all values of the numbers.
  InputSignature without_numbers() const;

  bool operator==(const InputSignature& other) const noexcept {
    return code_ == other.code_;
  }

  uint64_t hash() const noexcept;

 private:
  struct Place {
    uint32_t index;  // in code_
    bool is_int;
  };

  void add(const at::Tensor& tensor);
  void add(const char* text);
  void add(const at::Scalar& value);
  void add(const at::Device& device);
  void add_surroundings();
  void add_bytes(const void* bytes, size_t count);

  void add_number(int64_t value, bool is_int) {
    numbers_.push_back({static_cast<uint32_t>(code_.size()), is_int});
    code_.push_back(value);
  }
  void add_floating(double value) {
    add_number(std::bit_cast<int64_t>(value), /*is_int=*/false);
  }

  // A choice: flags, enumerators, letters.
  template <class T>
  static constexpr bool is_choice =
      std::is_enum_v<T> || std::same_as<T, bool> || std::same_as<T, char> ||
      std::same_as<T, wchar_t> || std::same_as<T, char8_t> ||
      std::same_as<T, char16_t> || std::same_as<T, char32_t>;
  template <class T>
  static constexpr bool is_half =
      std::same_as<T, at::Half> || std::same_as<T, at::BFloat16>;
  template <class T>
  static constexpr bool is_complex = requires(const T& value) {
    { value.real() } -> std::floating_point;
    { value.imag() } -> std::floating_point;
  };

  template <class T>
  void add(const std::optional<T>& value) {
    code_.push_back(value.has_value() ? 1 : 0);
    if (value) {
      add(*value);
    }
  }
  template <class... T>
  void add(const std::tuple<T...>& values) {
    std::apply(
        [this](const auto&... value) { (this->add(value), ...); }, values);
  }
  template <class A, class B>
  void add(const std::pair<A, B>& values) {
    add(values.first);
    add(values.second);
  }
  template <class... T>
  void add(const std::variant<T...>& value) {
    code_.push_back(static_cast<int64_t>(value.index()));
    if (!value.valueless_by_exception()) {
      std::visit([this](const auto& held) { this->add(held); }, value);
    }
  }
  template <class T>
    requires is_choice<T>
  void add(const T& value) {
    code_.push_back(static_cast<int64_t>(value));
  }
  template <class T>
    requires(std::integral<T> && !is_choice<T>)
  void add(const T& value) {
    add_number(static_cast<int64_t>(value), /*is_int=*/true);
  }
  template <class T>
    requires(std::floating_point<T> || is_half<T>)
  void add(const T& value) {
    add_floating(static_cast<double>(value));
  }
  template <class T>
    requires is_complex<T>
  void add(const T& value) {
    add_floating(static_cast<double>(value.real()));
    add_floating(static_cast<double>(value.imag()));
  }
  // Array references, such as the output size of a transposed convolution;
  // texts; maps.
  template <std::ranges::forward_range T>
  void add(const T& values) {
    code_.push_back(static_cast<int64_t>(std::ranges::distance(values)));
    for (const auto& value : values) {
      add(static_cast<const std::ranges::range_value_t<const T>&>(value));
    }
  }
  template <class T>
  void add(const T& value) {
    // Where a pointer points, a smart one too, says nothing.
    constexpr bool kIsPointer =
        std::is_pointer_v<T> || !std::is_object_v<T> ||
        (requires { *value; } && requires { value.get(); });
    if constexpr (kIsPointer) {
      return;
    } else if constexpr (requires {
                           { std::hash<T>{}(value) } -> std::same_as<size_t>;
                         }) {
      add_number(static_cast<int64_t>(std::hash<T>{}(value)), /*is_int=*/false);
    } else if constexpr (
        std::is_trivially_copyable_v<T> && !std::is_empty_v<T> &&
        std::has_unique_object_representations_v<T>) {
      add_bytes(&value, sizeof(T));
    }
  }

  c10::SmallVector<int64_t, 16> code_;
  c10::SmallVector<Place, 2> numbers_;
  int64_t batch_ = -1;
  const at::Tensor* first_tensor_ = nullptr;
  c10::DeviceType device_type_ = c10::DeviceType::CPU;
};

struct SignatureHash {
  size_t operator()(const InputSignature& signature) const noexcept {
    return static_cast<size_t>(signature.hash());
  }
};

}  // namespace gatedpaths::detail
