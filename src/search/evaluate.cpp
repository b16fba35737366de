// SPDX-License-Identifier: MIT
#include <gatedpaths/search/evaluate.hpp>

#include "../text/tensor_text.hpp"
#include "evaluated_net.hpp"
#include "path_order.hpp"
#include "path_results.hpp"
#include "stage_gates.hpp"
#include "stage_run.hpp"
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
  OutputEvaluation(
      const EvaluatedNet& net,
      const PathSpace& space,
      c10::ArrayRef<Stage> stages,
      c10::ArrayRef<EvaluationBatch> batches,
      const PathMetric& metric,
      const EvaluateOptions& options,
      PathResults& results)
      : net_(net),
        space_(space),
        stages_(stages),
        batches_(batches),
        metric_(metric),
        options_(options),
        results_(results),
        gates_(space, stages),
        walk_(stages, gates_) {}

  void run(const std::optional<Stage>& whole) {
    const c10::InferenceMode inference;
    assign_gates(whole);
    if (options_.keep_branches()) {
      keep_branches();
    }
    const PathOrder order(
        results_.todo(),
        static_cast<int64_t>(stages_.size()),
        [this](int64_t gate) { return gates_.of(gate); });
    // With one batch each path is done at once in any case.
    const size_t at_once = batches_.size() == 1
                               ? order.size()
                               : static_cast<size_t>(options_.paths_at_once());
    for (size_t begin = 0; begin < order.size(); begin += at_once) {
      const size_t end = std::min(order.size(), begin + at_once);
      for (size_t batch = 0; batch < batches_.size(); ++batch) {
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
    const at::Tensor& input = batches_.front().data;
    space_.apply(path);
    walk_.start({input});
    at::Tensor found;
    walk_.run(
        0, &path, [&](size_t, const at::Tensor& output) { found = output; });
    net_.check_modes();
    gates_.settle();
    if (whole && !options_.stages().empty() && options_.check_stages()) {
      check_same(found, StageRun(*whole, 0, input).output(), path);
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
            space_.to_string(path)));
  }

  // Of gates that may open several: others come to each branch once.
  void keep_branches() {
    for (int64_t i = 0; i < space_.num_gates(); ++i) {
      const GatedModule& gate = space_.gate(i);
      for (int64_t b = 0; gate.max_open() > 1 && b < gate.num_branches(); ++b) {
        if (!has_gates(gate.branch_module(b))) {
          walk_.keep_branch(gates_.of(i), gate.branch_module(b));
        }
      }
    }
  }

  // Whether it came to the end.
  bool run_group(
      const PathOrder& order, size_t begin, size_t end, size_t batch) {
    walk_.start({batches_[batch].data});
    for (size_t i = begin; i < end; ++i) {
      if (results_.is_stopped()) {
        return false;
      }
      const size_t number = order.path(i);
      const Path& path = results_.todo()[number];
      space_.apply(path);
      const bool is_first = batch == 0;
      walk_.run(
          i == begin ? 0 : order.first_changed(i),
          is_first ? &path : nullptr,
          [&](size_t, const at::Tensor& output) {
            if (is_first) {
              net_.check_modes();
            }
            results_.add(
                number,
                batch,
                metric_.of_output()(output, batches_[batch].target));
          });
    }
    return true;
  }

  const EvaluatedNet& net_;
  const PathSpace& space_;
  c10::ArrayRef<Stage> stages_;
  c10::ArrayRef<EvaluationBatch> batches_;
  const PathMetric& metric_;
  const EvaluateOptions& options_;
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
    OutputEvaluation(
        evaluated, space, stages, batches, metric, options, results)
        .run(whole);
  }
  return results.take();
}

}  // namespace gatedpaths::detail
