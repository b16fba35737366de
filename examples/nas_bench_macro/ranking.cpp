// SPDX-License-Identifier: MIT
#include "ranking.hpp"

#include "interrupt.hpp"
#include "net.hpp"

#include <gatedpaths/gates/stream_seed.hpp>
#include <gatedpaths/search/evaluate.hpp>
#include <gatedpaths/search/path_metric.hpp>
#include <gatedpaths/search/random_search.hpp>

#include <ATen/ops/stack.h>
#include <torch/nn/functional/loss.h>

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <stop_token>

namespace nas_bench_macro {
namespace {

namespace gp = gatedpaths;

gp::PathMetric accuracy_and_loss() {
  return gp::PathMetric(
      std::vector<std::string>{"accuracy", "loss"},
      [](const torch::Tensor& output, const torch::Tensor& target) {
        return torch::stack(
            {output.argmax(1).eq(target).to(torch::kDouble).mean(),
             torch::nn::functional::cross_entropy(output, target)
                 .to(torch::kDouble)});
      });
}

/// What a file of results is of, as its name: other weights would not be
/// noticed by what is in it.
std::filesystem::path results_file(const Options& options) {
  return options.out / fmt::format(
                           "scores_{}_images_{}_for_batch_norm.jsonl",
                           options.scale.held_out,
                           options.scale.recalibration);
}

}  // namespace

Ranking::Ranking(
    const Options& options, Supernet& supernet, cifar10::Progress& progress)
    : options_(options), supernet_(supernet), progress_(progress) {
  const auto& images = supernet.images();
  // One batch: paths come one by one then, and share the most.
  const auto& held_out = images.held_out;
  const auto batch = cifar10::make_batch(held_out, 0, held_out.size());
  batches_.emplace_back(
      resized(batch.images, options.scale.side), batch.labels);
  if (options.scale.recalibration > 0) {
    recalibration_.push_back(resized(
        cifar10::make_batch(images.train, 0, options.scale.recalibration)
            .images,
        options.scale.side));
  }
}

std::vector<gp::Path> Ranking::paths() const {
  auto& space = supernet_.space();
  if (options_.rank > 0) {
    return gp::RandomSearch(
               space.layout(), gp::stream_seed(options_.seed, "paths to rank"))
        .ask(options_.rank);
  }
  std::vector<gp::Path> paths;
  for (std::uint64_t i = 0; i < space.size(); ++i) {
    paths.push_back(space.at(i));
  }
  return paths;
}

bool Ranking::score(const std::vector<gp::Path>& paths) {
  std::vector<gp::Path> missing;
  for (const auto& path : paths) {
    if (!scores_.contains(architecture(path))) {
      missing.push_back(path);
    }
  }
  if (missing.empty()) {
    return true;
  }
  std::stop_source stop;
  progress_.pause();
  gp::evaluate(
      supernet_.net(),
      supernet_.space(),
      missing,
      batches_,
      accuracy_and_loss(),
      gp::EvaluateOptions()
          .stages(supernet_.net()->stages())
          .recalibrate_on(recalibration_)
          .file(results_file(options_))
          .stop(stop.get_token())
          .on_result([&](const gp::PathResult& result) {
            scores_[architecture(result.path)] = {
                result.values[0], result.values[1]};
          })
          .on_progress([&](const gp::EvaluationProgress& at) {
            if (cifar10::interrupted() != 0) {
              stop.request_stop();
            }
            progress_.step([&] {
              return cifar10::ProgressState{
                  .step = at.paths_done,
                  .steps = at.paths_total,
                  .steps_left = at.paths_total - at.paths_done,
                  .label = "ranking",
                  .unit = "paths"};
            });
          }));
  return !stop.stop_requested();
}

}  // namespace nas_bench_macro
