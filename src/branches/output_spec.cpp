// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/output_spec.hpp>

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace gatedpaths::detail {

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
  const auto options = at::TensorOptions().dtype(dtype).device(device);
  const auto concrete = sizes_at(batch);
  if (memory_format == at::MemoryFormat::Contiguous) {
    return at::zeros(concrete, options);
  }
  return at::empty(concrete, options, memory_format).zero_();
}

std::string TensorSpec::text(int64_t batch) const {
  return fmt::format("[{}]", fmt::join(sizes_at(batch), ", "));
}

}  // namespace gatedpaths::detail
