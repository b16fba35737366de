// SPDX-License-Identifier: MIT
#include "network_evaluation.hpp"

#include "norm_walk.hpp"
#include "stage_gates.hpp"
#include "stage_input.hpp"

#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>

#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace gatedpaths::detail {
namespace {

// An inference tensor cannot be saved for a backward.
at::Tensor without_inference(const at::Tensor& tensor) {
  return tensor.defined() && tensor.is_inference() ? tensor.clone() : tensor;
}

// Within a forward a stage may work in place, but not on the batch.
at::Tensor run_all_stages(
    c10::ArrayRef<Stage> stages, const at::Tensor& input) {
  at::Tensor output = StageInput(input).run(stages.front(), 0);
  for (const Stage& stage : stages.slice(1)) {
    output = stage(output);
  }
  return output;
}

}  // namespace

void evaluate_by_network(const EvaluationInputs& inputs, PathResults& results) {
  const c10::InferenceMode normal_tensors(false);
  const at::AutoGradMode with_gradients(true);
  const StageGates gates(inputs.space, inputs.stages);
  const std::function<at::Tensor(const at::Tensor&)> forward =
      [&](const at::Tensor& input) {
        return run_all_stages(inputs.stages, input);
      };
  std::vector<EvaluationBatch> batches;
  for (const EvaluationBatch& batch : inputs.batches) {
    batches.emplace_back(
        without_inference(batch.data), without_inference(batch.target));
  }
  std::optional<NormWalk> norms;
  if (!inputs.options.recalibrate_on().empty()) {
    norms.emplace(inputs.net, inputs.stages, inputs.options.recalibrate_on());
  }
  const auto& enter = inputs.metric.mode();
  const auto entered = [&]() -> std::shared_ptr<void> {
    return enter ? enter(inputs.net) : nullptr;
  };
  std::shared_ptr<void> mode = norms ? nullptr : entered();
  for (size_t i = 0; i < results.todo().size(); ++i) {
    const Path& path = results.todo()[i];
    inputs.space.apply(path);
    if (norms && !results.is_stopped()) {
      mode.reset();  // the norms measure in eval mode
      norms->run(0);
      mode = entered();
    }
    for (size_t b = 0; b < batches.size(); ++b) {
      if (results.is_stopped()) {
        return;
      }
      const auto values =
          inputs.metric.of_network()({inputs.net, batches[b], forward});
      gates.check(path);
      results.add(i, b, values);
    }
  }
}

}  // namespace gatedpaths::detail
