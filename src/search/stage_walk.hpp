// SPDX-License-Identifier: MIT
// Runs paths one after the other, each from the first stage that is set
// otherwise. Not installed.
#pragma once

#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/search/stage.hpp>

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>
#include <c10/util/FunctionRef.h>
#include <torch/nn/module.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../branches/branch_reuse.hpp"
#include "stage_gates.hpp"
#include "stage_input.hpp"

namespace gatedpaths::detail {

/// Keeps what each stage returned for the path that ran last, one tensor for
/// each input.
class StageWalk {
 public:
  /// Gets what the last stage returned for an input.
  using Output =
      c10::function_ref<void(size_t input, const at::Tensor& output)>;

  /// Both outlive the walk.
  StageWalk(c10::ArrayRef<Stage> stages, StageGates& gates)
      : stages_(stages), gates_(gates), reuse_(stages.size()) {}

  /// From now on keeps what this branch of a gate in `stage` returned for the
  /// stage's input. With one input only.
  void keep_branch(int64_t stage, const torch::nn::Module& branch) {
    reuse_[static_cast<size_t>(stage)].add(branch);
  }

  /// From now on nobody reads the input of the last stage again, since no path
  /// begins there: it has no gates.
  void never_begin_at_last() { begins_at_last_ = false; }

  /// Goes on with these inputs of the first stage; the next run has to begin
  /// there.
  void start(const std::vector<at::Tensor>& inputs);

  /// Runs the stages from `first` on, those before it being set as in the last
  /// run. Outputs of the last stage are not kept. With `path`, sees which gates
  /// run.
  void run(int64_t first, const Path* path, Output output);

 private:
  StageInput keep(
      int64_t stage, const at::Tensor& from, const at::Tensor& output);
  int64_t last() const { return static_cast<int64_t>(stages_.size()) - 1; }

  c10::ArrayRef<Stage> stages_;
  StageGates& gates_;
  std::vector<std::vector<StageInput>> inputs_;  // by stage
  std::vector<BranchReuse> reuse_;               // by stage
  bool begins_at_last_ = true;
};

}  // namespace gatedpaths::detail
