// SPDX-License-Identifier: MIT
#include <gatedpaths/search/evaluate.hpp>

#include "../text/tensor_text.hpp"
#include "evaluated_net.hpp"
#include "evaluation_inputs.hpp"
#include "network_evaluation.hpp"
#include "norm_walk.hpp"
#include "path_order.hpp"
#include "path_results.hpp"
#include "stage_gates.hpp"
#include "stage_input.hpp"
#include "stage_walk.hpp"

#include <ATen/ops/allclose.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace gatedpaths::detail {
namespace {

// Far above rounding, which differs from run to run on some devices, and far
// below what a missing stage does.
constexpr double kStageTolerance = 1e-3;

// The stages, or the whole network as the only one.
std::vector<Stage> stages_of(
    const std::optional<Stage>& whole, const EvaluateOptions& options) {
  if (!options.stages().empty()) {
    return options.stages();
  }
  TORCH_CHECK_VALUE(
      whole,
      "evaluate: expected a network with a forward of one tensor, or stages, "
      "got neither");
  return {*whole};
}

bool has_gates(const torch::nn::Module& module) {
  if (dynamic_cast<const GatedModule*>(&module) != nullptr) {
    return true;
  }
  const auto children = module.children();
  return std::any_of(children.begin(), children.end(), [](const auto& child) {
    return child != nullptr && has_gates(*child);
  });
}

class OutputEvaluation {
 public:
  OutputEvaluation(const EvaluationInputs& inputs, PathResults& results)
      : in_(inputs),
        results_(results),
        gates_(inputs.space, inputs.stages),
        walk_(inputs.stages, gates_) {}

  void run(const std::optional<Stage>& whole) {
    const c10::InferenceMode inference;
    assign_gates(whole);
    const PathOrder order(
        results_.todo(),
        static_cast<int64_t>(in_.stages.size()),
        [this](int64_t gate) { return gates_.of(gate); });
    if (!begins_at_last(order)) {
      walk_.never_begin_at_last();
    }
    if (!in_.options.recalibrate_on().empty()) {
      run_recalibrated(order);
      return;
    }
    if (in_.options.keep_branches()) {
      keep_branches();
    }
    // With one batch each path is done at once in any case.
    const size_t at_once =
        in_.batches.size() == 1
            ? order.size()
            : static_cast<size_t>(in_.options.paths_at_once());
    for (size_t begin = 0; begin < order.size(); begin += at_once) {
      const size_t end = std::min(order.size(), begin + at_once);
      for (size_t batch = 0; batch < in_.batches.size(); ++batch) {
        if (!run_group(order, begin, end, batch)) {
          return;
        }
      }
    }
  }

 private:
  // Runs the first path to see which gates run in which stage.
  void assign_gates(const std::optional<Stage>& whole) {
    const Path& path = results_.todo().front();
    const at::Tensor& input = in_.batches.front().data;
    in_.space.apply(path);
    walk_.start({input});
    at::Tensor found;
    walk_.run(
        0, &path, [&](size_t, const at::Tensor& output) { found = output; });
    in_.evaluated.check_modes();
    gates_.settle();
    if (whole && !in_.options.stages().empty() && in_.options.check_stages()) {
      walk_.start({});  // its memory goes first
      check_same(found, StageInput(input).run(*whole, 0), path);
    }
  }

  void check_same(
      const at::Tensor& found,
      const at::Tensor& expected,
      const Path& path) const {
    const bool alike = found.sizes() == expected.sizes() &&
                       found.scalar_type() == expected.scalar_type();
    TORCH_CHECK_VALUE(
        alike && (expected.numel() == 0 ||
                  at::allclose(
                      found,
                      expected,
                      kStageTolerance,
                      kStageTolerance * expected.abs().max().item<double>(),
                      /*equal_nan=*/true)),
        fmt::format(
            "evaluate: expected stages that compute what the network does, {}, "
            "got {}{} for the path '{}'",
            tensor_text(expected),
            tensor_text(found),
            alike ? " with other values" : "",
            in_.space.to_string(path)));
  }

  // Of gates that may open several: others come to each branch once.
  void keep_branches() {
    for (int64_t i = 0; i < in_.space.num_gates(); ++i) {
      const GatedModule& gate = in_.space.gate(i);
      for (int64_t b = 0; gate.max_open() > 1 && b < gate.num_branches(); ++b) {
        if (!has_gates(gate.branch_module(b))) {
          walk_.keep_branch(gates_.of(i), gate.branch_module(b));
        }
      }
    }
  }

  // Whether some path differs from the one before it in the last stage alone.
  bool begins_at_last(const PathOrder& order) const {
    const auto last = static_cast<int64_t>(in_.stages.size()) - 1;
    bool begins = last == 0;
    for (size_t i = 1; i < order.size() && !begins; ++i) {
      begins = order.first_changed(i) == last;
    }
    return begins;
  }

  // Whether it came to the end.
  bool run_group(
      const PathOrder& order, size_t begin, size_t end, size_t batch) {
    walk_.start({in_.batches[batch].data});
    for (size_t i = begin; i < end; ++i) {
      if (results_.is_stopped()) {
        return false;
      }
      in_.space.apply(results_.todo()[order.path(i)]);
      const int64_t first = i == begin ? 0 : order.first_changed(i);
      run_path(order.path(i), first, batch);
    }
    return true;
  }

  // All batches of a path, for which the statistics are the same.
  void run_recalibrated(const PathOrder& order) {
    NormWalk norms(in_.net, in_.stages, in_.options.recalibrate_on());
    std::vector<at::Tensor> inputs;
    for (const EvaluationBatch& batch : in_.batches) {
      inputs.push_back(batch.data);
    }
    walk_.start(inputs);
    for (size_t i = 0; i < order.size() && !results_.is_stopped(); ++i) {
      in_.space.apply(results_.todo()[order.path(i)]);
      const int64_t first = i == 0 ? 0 : order.first_changed(i);
      norms.run(first);
      run_path(order.path(i), first, 0);
    }
  }

  // The walk's inputs are batches from `batch` on.
  void run_path(size_t number, int64_t first, size_t batch) {
    const bool is_watched = batch == 0;
    walk_.run(
        first,
        is_watched ? &results_.todo()[number] : nullptr,
        [&](size_t input, const at::Tensor& output) {
          if (is_watched && input == 0) {
            in_.evaluated.check_modes();
          }
          const size_t at = batch + input;
          results_.add(
              number,
              at,
              in_.metric.of_output()(output, in_.batches[at].target));
        });
  }

  const EvaluationInputs& in_;
  PathResults& results_;
  StageGates gates_;
  StageWalk walk_;
};

}  // namespace

std::vector<PathResult> evaluate_paths(
    torch::nn::Module& net,
    const std::optional<Stage>& whole,
    const PathSpace& space,
    c10::ArrayRef<Path> paths,
    c10::ArrayRef<EvaluationBatch> batches,
    const PathMetric& metric,
    const EvaluateOptions& options) {
  TORCH_CHECK_VALUE(
      options.paths_at_once() >= 1,
      "evaluate: expected paths_at_once >= 1, got ",
      options.paths_at_once());
  const std::vector<Stage> stages = stages_of(whole, options);
  PathResults results(*space.layout(), paths, batches, metric, options);
  if (!results.todo().empty() && !results.is_stopped()) {
    const EvaluatedNet evaluated(net);
    evaluated.check_space(space);
    EvaluatedNet::check_stages(stages);
    const EvaluationInputs inputs{
        net, evaluated, space, stages, batches, metric, options};
    if (metric.of_network()) {
      evaluate_by_network(inputs, results);
    } else {
      OutputEvaluation(inputs, results).run(whole);
    }
  }
  return results.take();
}

}  // namespace gatedpaths::detail
