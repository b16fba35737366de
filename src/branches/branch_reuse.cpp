// SPDX-License-Identifier: MIT
#include "branch_reuse.hpp"

#include "tensor_memory.hpp"

#include <utility>

namespace gatedpaths::detail {
namespace {

thread_local BranchReuse* current_reuse = nullptr;

}  // namespace

BranchReuse::Scope::Scope(BranchReuse& reuse, const at::Tensor& input)
    : outer_(std::exchange(current_reuse, &reuse)) {
  reuse.input_ = input;
}

BranchReuse::Scope::~Scope() {
  current_reuse->input_.reset();
  current_reuse = outer_;
}

BranchReuse* BranchReuse::current() { return current_reuse; }

void BranchReuse::clear() {
  for (auto& [module, kept] : kept_) {
    kept = {};
  }
}

at::Tensor BranchReuse::get(
    const torch::nn::Module& module,
    const at::Tensor& input,
    c10::function_ref<at::Tensor()> run) {
  const auto found = kept_.find(&module);
  if (found == kept_.end() || !is_input(input)) {
    return run();
  }
  Kept& kept = found->second;
  if (!kept.output.defined() || kept.watch.is_changed()) {
    kept = {run(), {}};
    if (!kept.output.defined()) {
      return {};
    }
  }
  kept.watch = {};
  return kept.watch.watch(kept.output);
}

// A tensor may come as another one in the same memory (InputWatch).
bool BranchReuse::is_input(const at::Tensor& tensor) const {
  return storage_of(tensor) != nullptr &&
         storage_of(tensor) == storage_of(input_) &&
         tensor.storage_offset() == input_.storage_offset() &&
         tensor.sizes() == input_.sizes() &&
         tensor.strides() == input_.strides() &&
         tensor.scalar_type() == input_.scalar_type() &&
         tensor.is_conj() == input_.is_conj() &&
         tensor.is_neg() == input_.is_neg();
}

}  // namespace gatedpaths::detail
