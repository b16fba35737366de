// SPDX-License-Identifier: MIT
#include "drop_convention.hpp"

#include "../text/tensor_text.hpp"

#include <ATen/ops/empty.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace gatedpaths::detail {
namespace {

constexpr const char* kBufferName = "convention";
using DropValues = std::array<double, 3>;

DropValues values_of(const DropSettings& settings) {
  return {
      static_cast<double>(settings.mode),
      static_cast<double>(settings.scale),
      settings.drop_rate};
}

DropSettings settings_of(const at::Tensor& saved) {
  TORCH_CHECK_VALUE(
      saved.sizes() == c10::IntArrayRef(3) &&
          saved.scalar_type() == at::kDouble,
      "StochasticDepth: expected a saved convention of [3] Double, got ",
      detail::tensor_text(saved));
  const at::Tensor host = saved.cpu().contiguous();
  const auto* values = host.const_data_ptr<double>();
  const auto is_code = [](double value, double last) {
    return value >= 0 && value <= last &&
           value == static_cast<double>(static_cast<int>(value));
  };
  TORCH_CHECK_VALUE(
      is_code(values[0], 2) && is_code(values[1], 3) && values[2] >= 0 &&
          values[2] <= 1,
      fmt::format(
          "StochasticDepth: expected a saved convention of a mode from 0 to 2, "
          "a scale from 0 to 3 and a drop_rate in [0, 1], got [{}, {}, {}]",
          values[0],
          values[1],
          values[2]));
  return {
      static_cast<DropMode>(static_cast<int>(values[0])),
      static_cast<DropScale>(static_cast<int>(values[1])),
      values[2]};
}

// Inference tensors have no version.
at::Tensor normal_tensor() {
  const c10::InferenceMode normal(false);
  return at::empty({3}, at::TensorOptions().dtype(at::kDouble));
}

}  // namespace

DropConvention::DropConvention(const DropSettings& settings)
    : values_(register_buffer(kBufferName, normal_tensor())),
      settings_(settings) {
  set(settings);
}

const DropSettings& DropConvention::get() {
  if (!is_read()) {
    settings_ = settings_of(values_);
    mark_read();
  }
  return settings_;
}

void DropConvention::set(const DropSettings& settings) {
  const auto values = values_of(settings);
  std::copy(values.begin(), values.end(), values_.data_ptr<double>());
  settings_ = settings;
  mark_read();
}

void DropConvention::load(torch::serialize::InputArchive& archive) {
  torch::Tensor saved;
  archive.read(kBufferName, saved, /*is_buffer=*/true);
  set(settings_of(saved));
}

void DropConvention::pretty_print(std::ostream& stream) const {
  stream << "gatedpaths::detail::DropConvention";
}

bool DropConvention::is_read() const {
  return read_from_ == values_.const_data_ptr() &&
         read_version_ == values_._version();
}

void DropConvention::mark_read() {
  read_from_ = values_.const_data_ptr();
  read_version_ = values_._version();
}

}  // namespace gatedpaths::detail
