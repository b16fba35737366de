// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/input_signature.hpp>

#include <gatedpaths/branches/detail/hash_mix.hpp>

#include <ATen/autocast_mode.h>
#include <c10/core/DefaultDtype.h>
#include <c10/core/ScalarTypeToTypeMeta.h>

#include <algorithm>
#include <cstring>
#include <string_view>

namespace gatedpaths::detail {

std::optional<at::ScalarType> autocast_dtype(at::DeviceType device) {
  // Asking for a device without autocast, such as meta, is an error.
  if (!at::autocast::is_autocast_available(device) ||
      !at::autocast::is_autocast_enabled(device)) {
    return std::nullopt;
  }
  return at::autocast::get_autocast_dtype(device);
}

void InputSignature::add(const at::Tensor& tensor) {
  if (!tensor.defined()) {
    code_.push_back(-1);
    return;
  }
  const auto sizes = tensor.sizes();
  if (first_tensor_ == nullptr) {
    first_tensor_ = &tensor;
    device_type_ = tensor.device().type();
    batch_ = sizes.empty() ? -1 : sizes.front();
  }
  const bool has_batch = !sizes.empty() && sizes.front() == batch_;
  const auto dims = static_cast<int64_t>(sizes.size());
  // Small fields share a number: this is compared at every forward.
  const auto format = static_cast<int64_t>(tensor.suggest_memory_format());
  const auto dtype = static_cast<int64_t>(tensor.scalar_type());
  const auto device = tensor.device();
  code_.push_back(
      dims | (has_batch ? 1 << 8 : 0) | (format << 9) | (dtype << 16) |
      (static_cast<int64_t>(device.type()) << 24) |
      ((static_cast<int64_t>(device.index()) & 0xff) << 32));
  code_.append(sizes.begin() + (has_batch ? 1 : 0), sizes.end());
}

void InputSignature::add(const char* text) {
  if (text != nullptr) {
    add(std::string_view(text));
  }
}

void InputSignature::add(const at::Scalar& value) {
  code_.push_back(static_cast<int64_t>(value.type()));
  if (value.isComplex()) {
    add(value.toComplexDouble());
  } else if (value.isFloatingPoint()) {
    add(value.toDouble());
  } else if (value.isBoolean()) {
    add(value.toBool());
  } else if (value.isIntegral(/*includeBool=*/false)) {
    add(value.toLong());
  }
}

void InputSignature::add(const at::Device& device) {
  code_.push_back(
      static_cast<int64_t>(device.type()) << 8 |
      (static_cast<int64_t>(device.index()) & 0xff));
}

void InputSignature::add_surroundings() {
  // Autocast's dtype counts only while it is on.
  const auto dtype = autocast_dtype(device_type_);
  const auto usual = c10::typeMetaToScalarType(c10::get_default_dtype());
  code_.push_back(
      (dtype ? static_cast<int64_t>(*dtype) : 0xff) |
      static_cast<int64_t>(usual) << 8);
}

void InputSignature::add_bytes(const void* bytes, size_t count) {
  uint64_t hash = count;
  const auto* next = static_cast<const unsigned char*>(bytes);
  while (count > 0) {
    uint64_t word = 0;
    const size_t taken = std::min(count, sizeof(word));
    std::memcpy(&word, next, taken);
    hash = hash_mix(hash, word);
    next += taken;
    count -= taken;
  }
  add_number(static_cast<int64_t>(hash), /*is_int=*/false);
}

InputSignature::Numbers InputSignature::numbers() const {
  Numbers result;
  for (const Place& place : numbers_) {
    result.push_back({code_[place.index], place.is_int});
  }
  return result;
}

InputSignature InputSignature::without_numbers() const {
  InputSignature rest = *this;
  for (const Place& place : numbers_) {
    rest.code_[place.index] = 0;
  }
  return rest;
}

uint64_t InputSignature::hash() const noexcept {
  uint64_t hash = code_.size();
  for (const int64_t number : code_) {
    hash = hash_mix(hash, static_cast<uint64_t>(number));
  }
  return hash;
}

}  // namespace gatedpaths::detail
