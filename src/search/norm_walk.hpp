// SPDX-License-Identifier: MIT
// Measures batch norm's statistics for one path after the other, each from the
// first stage that is set otherwise. Not installed.
#pragma once

#include <gatedpaths/search/stage.hpp>

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace gatedpaths::detail {

/// Norms that measure see each batch's own statistics in place of the running
/// ones: what a stage measures depends on the stages before it alone, and holds
/// for as long as these are set alike.
///
/// Keeps what each stage returned for each batch on the path measured last.
class NormWalk {
 public:
  /// `net` and `stages` outlive the walk; the network is in eval mode.
  NormWalk(
      torch::nn::Module& net,
      c10::ArrayRef<Stage> stages,
      std::vector<at::Tensor> batches);

  /// Measures for the path that is applied, from stage `first` on, those before
  /// it being set as at the last call.
  ///
  /// Throws: where a norm runs in two stages, and as `recalibrate_batch_norm`.
  void run(int64_t first);

 private:
  void run_stage(int64_t stage);

  torch::nn::Module& net_;
  c10::ArrayRef<Stage> stages_;
  int64_t measured_;  // stages, up to the last that may have norms
  std::vector<std::vector<at::Tensor>> inputs_;  // by stage
  std::unordered_map<const torch::nn::Module*, int64_t> stage_of_norm_;
};

}  // namespace gatedpaths::detail
