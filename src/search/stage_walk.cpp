// SPDX-License-Identifier: MIT
#include "stage_walk.hpp"

#include "stage_run.hpp"

#include <c10/util/Exception.h>

#include <optional>
#include <utility>

namespace gatedpaths::detail {

void StageWalk::start(std::vector<at::Tensor> inputs) {
  inputs_.clear();
  reuse_.front().clear();
  inputs_.push_back(std::move(inputs));
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
    std::vector<at::Tensor> outputs;
    for (size_t i = 0; i < inputs_.back().size(); ++i) {
      const at::Tensor& input = inputs_.back()[i];
      std::optional<BranchReuse::Scope> reused;
      if (!reuse.is_idle()) {
        reused.emplace(reuse, input);
      }
      StageRun run(function, stage, input);
      reused.reset();
      if (path != nullptr && i == 0) {
        gates_.ran(stage);
      }
      if (stage < last()) {
        outputs.push_back(std::move(run).output());
      } else {
        output(i, run.output());
        run.check_metric();
      }
    }
    if (stage < last()) {
      inputs_.push_back(std::move(outputs));
    }
  }
  if (path != nullptr) {
    gates_.check(*path);
  }
}

}  // namespace gatedpaths::detail
