// SPDX-License-Identifier: MIT
#include "norm_walk.hpp"

#include <gatedpaths/training/recalibrate_batch_norm.hpp>

#include "stage_input.hpp"

#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>
#include <torch/nn/modules/batchnorm.h>

#include <algorithm>
#include <utility>

namespace gatedpaths::detail {
namespace {

bool may_have_norms(const torch::nn::Module* module) {
  if (module == nullptr) {
    return true;  // a function, of which nothing is known
  }
  if (dynamic_cast<const torch::nn::BatchNorm1dImpl*>(module) != nullptr ||
      dynamic_cast<const torch::nn::BatchNorm2dImpl*>(module) != nullptr ||
      dynamic_cast<const torch::nn::BatchNorm3dImpl*>(module) != nullptr) {
    return true;
  }
  const auto children = module->children();
  return std::any_of(children.begin(), children.end(), [](const auto& child) {
    return child != nullptr && may_have_norms(child.get());
  });
}

}  // namespace

NormWalk::NormWalk(
    torch::nn::Module& net,
    c10::ArrayRef<Stage> stages,
    std::vector<at::Tensor> batches)
    : net_(net),
      stages_(stages),
      measured_(static_cast<int64_t>(stages.size())) {
  while (measured_ > 0 &&
         !may_have_norms(stages[static_cast<size_t>(measured_) - 1].module())) {
    --measured_;
  }
  inputs_.push_back(std::move(batches));
}

void NormWalk::run(int64_t first) {
  // Statistics are no inference tensors, and must not become any.
  const c10::InferenceMode normal_tensors(false);
  const at::NoGradGuard no_grad;
  if (first >= measured_) {
    return;
  }
  inputs_.resize(static_cast<size_t>(first) + 1);
  for (int64_t stage = first; stage < measured_; ++stage) {
    run_stage(stage);
  }
}

void NormWalk::run_stage(int64_t stage) {
  BatchNormMeasurement measurement(net_, net_);
  std::vector<at::Tensor> outputs;
  for (const at::Tensor& input : inputs_.back()) {
    at::Tensor output =
        StageInput(input).run(stages_[static_cast<size_t>(stage)], stage);
    measurement.add_batch();
    if (stage + 1 < measured_) {
      outputs.push_back(std::move(output));
    }
  }
  for (const auto& norm : measurement.finish_part()) {
    const int64_t known =
        stage_of_norm_.try_emplace(norm.module, stage).first->second;
    TORCH_CHECK_VALUE(
        known == stage,
        "evaluate: expected norms that run in one stage each while their "
        "statistics are measured, got '",
        norm.name,
        "' in stages ",
        known,
        " and ",
        stage,
        "; give these stages, and all between them, as one");
  }
  if (stage + 1 < measured_) {
    inputs_.push_back(std::move(outputs));
  }
}

}  // namespace gatedpaths::detail
