// SPDX-License-Identifier: MIT
#include "traced_rows.hpp"

#include <ATen/ops/zeros_like.h>

#include <vector>

namespace gatedpaths::detail {
namespace {

thread_local TracedRows* innermost_rows = nullptr;

}  // namespace

TracedRows::TracedRows(const at::Tensor& input)
    : input_(input), outer_(innermost_rows) {
  innermost_rows = this;
}

TracedRows::~TracedRows() { innermost_rows = outer_; }

at::Tensor TracedRows::zeros(const TensorSpec& spec, int64_t batch) {
  if (innermost_rows == nullptr) {
    return {};
  }
  const at::Tensor& input = innermost_rows->input_;
  if (input.dim() == 0 || input.numel() == 0 || input.size(0) != batch ||
      spec.sizes.empty() || spec.sizes.front().fixed != 0 ||
      spec.sizes.front().per_sample != 1) {
    return {};
  }
  auto rows = at::zeros_like(
      input,
      at::TensorOptions().dtype(spec.dtype).device(spec.device),
      at::MemoryFormat::Contiguous);
  while (rows.dim() > 1) {
    rows = rows.select(-1, 0);
  }
  std::vector<int64_t> sizes = {-1};
  for (size_t d = 1; d < spec.sizes.size(); ++d) {
    rows = rows.unsqueeze(-1);
    sizes.push_back(spec.sizes[d].at(batch));
  }
  return rows.expand(sizes).clone(spec.memory_format);
}

}  // namespace gatedpaths::detail
