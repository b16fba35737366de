// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/output_spec.hpp>

#include "../text/tensor_text.hpp"
#include "traced_rows.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

namespace gatedpaths::detail {
namespace {

TensorSpec fixed_spec(const at::Tensor& tensor) {
  TensorSpec spec;
  if (!tensor.defined()) {
    spec.defined = false;
    return spec;
  }
  for (const int64_t size : tensor.sizes()) {
    spec.sizes.push_back({.fixed = size, .per_sample = 0});
  }
  spec.dtype = tensor.scalar_type();
  spec.device = tensor.device();
  spec.memory_format = tensor.suggest_memory_format();
  return spec;
}

}  // namespace

c10::SmallVector<int64_t, 5> TensorSpec::sizes_at(int64_t batch) const {
  c10::SmallVector<int64_t, 5> result;
  result.reserve(sizes.size());
  for (const SizeRule& rule : sizes) {
    result.push_back(rule.at(batch));
  }
  return result;
}

at::Tensor TensorSpec::zeros(int64_t batch) const {
  if (!defined) {
    return {};
  }
  if (auto traced = TracedRows::zeros(*this, batch); traced.defined()) {
    return traced;
  }
  const auto options = at::TensorOptions().dtype(dtype).device(device);
  const auto concrete = sizes_at(batch);
  if (memory_format == at::MemoryFormat::Contiguous) {
    return at::zeros(concrete, options);
  }
  return at::empty(concrete, options, memory_format).zero_();
}

std::string TensorSpec::text(int64_t batch) const {
  return sizes_text(sizes_at(batch));
}

OutputSpec OutputSpec::fixed_at(int64_t batch) const {
  OutputSpec fixed = *this;
  for (auto& tensor : fixed.tensors) {
    for (SizeRule& size : tensor.sizes) {
      size = {.fixed = size.at(batch), .per_sample = 0};
    }
  }
  return fixed;
}

bool OutputSpec::same_kind(const OutputSpec& other) const {
  return structure == other.structure &&
         std::equal(
             tensors.begin(),
             tensors.end(),
             other.tensors.begin(),
             other.tensors.end(),
             [](const TensorSpec& x, const TensorSpec& y) {
               return x.defined == y.defined && x.dtype == y.dtype &&
                      x.device == y.device && x.sizes.size() == y.sizes.size();
             });
}

bool OutputSpec::same_sizes(const OutputSpec& other, int64_t batch) const {
  return structure == other.structure &&
         std::equal(
             tensors.begin(),
             tensors.end(),
             other.tensors.begin(),
             other.tensors.end(),
             [batch](const TensorSpec& x, const TensorSpec& y) {
               return x.defined == y.defined &&
                      x.sizes_at(batch) == y.sizes_at(batch);
             });
}

OutputSpec spec_of(const FlatOutput& output, OutputSpec::Source source) {
  OutputSpec spec;
  spec.source = source;
  spec.structure.assign(output.structure.begin(), output.structure.end());
  for (const auto& tensor : output.tensors) {
    spec.tensors.push_back(fixed_spec(tensor));
  }
  return spec;
}

}  // namespace gatedpaths::detail
