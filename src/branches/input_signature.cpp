// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/input_signature.hpp>

#include <ATen/autocast_mode.h>

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
  versions_ += tensor.is_inference() ? 0 : tensor._version();
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

void InputSignature::add_autocast() {
  // The dtype counts only while autocast is on.
  const auto dtype = autocast_dtype(device_type_);
  code_.push_back(dtype ? static_cast<int64_t>(*dtype) : -1);
}

}  // namespace gatedpaths::detail
