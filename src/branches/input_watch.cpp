// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/input_watch.hpp>

#include "tensor_memory.hpp"

#include <ATen/ops/empty.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include <algorithm>

namespace gatedpaths::detail {
namespace {

at::Tensor with_version(const at::Tensor& tensor) {
  const c10::InferenceMode normal_tensors(false);
  if (!tensor.has_storage() || tensor.is_quantized()) {
    return tensor.clone();
  }
  auto alias = at::empty({0}, tensor.options());
  alias.set_(
      tensor.storage(),
      tensor.storage_offset(),
      tensor.sizes(),
      tensor.strides());
  alias._set_conj(tensor.is_conj());
  alias._set_neg(tensor.is_neg());
  return alias;
}

}  // namespace

at::Tensor InputWatch::watch(const at::Tensor& tensor) {
  if (!tensor.defined()) {
    return tensor;
  }
  if (!tensor.is_inference()) {
    versions_.emplace_back(tensor, tensor._version());
    return tensor;
  }
  if (is_locked(tensor)) {
    return tensor;  // LibTorch itself refuses to change it
  }
  auto normal = with_version(tensor);
  versions_.emplace_back(normal, normal._version());
  return normal;
}

void InputWatch::check_open(const BranchLabel& branch) const {
  TORCH_CHECK_VALUE(
      !is_changed(),
      branch.gate_kind,
      "::forward: expected ",
      branch.text(),
      " to leave its input as it is, since that is read again, got one that is "
      "changed in place; use layers that do not work in place");
}

void InputWatch::check_closed(const BranchLabel& branch) const {
  TORCH_CHECK_VALUE(
      !is_changed(),
      branch.gate_kind,
      "::forward: expected ",
      branch.text(),
      " to leave its input as it is while it is closed, got one that is "
      "changed in place; use Skip::kZeroFill, or layers that do not work in "
      "place");
}

bool InputWatch::is_changed() const {
  return std::any_of(
      versions_.begin(), versions_.end(), [](const auto& watched) {
        const auto& [tensor, version] = watched;
        return static_cast<int64_t>(tensor._version()) != version;
      });
}

}  // namespace gatedpaths::detail
