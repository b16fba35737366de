// SPDX-License-Identifier: MIT
#include "stage_walk.hpp"

#include "../branches/tensor_memory.hpp"

#include <c10/util/Exception.h>

#include <optional>
#include <utility>

namespace gatedpaths::detail {

void StageWalk::start(const std::vector<at::Tensor>& inputs) {
  inputs_.clear();
  reuse_.front().clear();
  auto& first = inputs_.emplace_back();
  for (const at::Tensor& input : inputs) {
    first.emplace_back(input);
  }
}

// Watching takes another tensor in the same memory, which is a part of what a
// small stage costs.
StageInput StageWalk::keep(
    int64_t stage, const at::Tensor& from, const at::Tensor& output) {
  const bool is_read_again = stage < last() || begins_at_last_ ||
                             storage_of(output) == storage_of(from);
  return StageInput(output, is_read_again);
}

void StageWalk::run(int64_t first, const Path* path, Output output) {
  TORCH_INTERNAL_ASSERT(
      0 <= first && first < static_cast<int64_t>(inputs_.size()));
  // First, so that no more is kept than one path needs.
  inputs_.resize(static_cast<size_t>(first) + 1);
  for (int64_t stage = first + 1; stage <= last(); ++stage) {
    reuse_[static_cast<size_t>(stage)].clear();
  }
  if (path != nullptr) {
    gates_.start(*path);
  }
  for (int64_t stage = first; stage <= last(); ++stage) {
    const auto& function = stages_[static_cast<size_t>(stage)];
    BranchReuse& reuse = reuse_[static_cast<size_t>(stage)];
    std::vector<StageInput> next;
    for (size_t i = 0; i < inputs_.back().size(); ++i) {
      const StageInput& input = inputs_.back()[i];
      std::optional<BranchReuse::Scope> reused;
      if (!reuse.is_idle()) {
        reused.emplace(reuse, input.tensor());
      }
      const at::Tensor result = input.run(function, stage);
      reused.reset();
      if (path != nullptr && i == 0) {
        gates_.ran(stage);
      }
      if (stage < last()) {
        next.push_back(keep(stage + 1, input.tensor(), result));
      } else {
        output(i, result);
        input.check_metric();
      }
    }
    if (stage < last()) {
      inputs_.push_back(std::move(next));
    }
  }
  if (path != nullptr) {
    gates_.check(*path);
  }
}

}  // namespace gatedpaths::detail
