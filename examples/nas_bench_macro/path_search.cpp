// SPDX-License-Identifier: MIT
#include "path_search.hpp"

#include "named_choice.hpp"
#include "net.hpp"

#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/search/budget.hpp>
#include <gatedpaths/search/counted_space.hpp>
#include <gatedpaths/search/local_search.hpp>
#include <gatedpaths/search/nsga2.hpp>
#include <gatedpaths/search/predictor_search.hpp>
#include <gatedpaths/search/random_search.hpp>
#include <gatedpaths/search/regularized_evolution.hpp>

#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <utility>

namespace nas_bench_macro {
namespace {

namespace gp = gatedpaths;

constexpr std::size_t kPathsAtOnce = 8;

std::vector<double> values_of(
    const Options& options, const Score& score, double flops) {
  const auto value = options.score == "loss" ? score.loss : score.accuracy;
  return options.strategy == "nsga2" ? std::vector{value, flops}
                                     : std::vector{value};
}

}  // namespace

const std::vector<std::string>& strategy_names() {
  static const std::vector<std::string> names = {
      "evolution", "random", "local", "nsga2", "predictor"};
  return names;
}

gp::CostModel published_cost() {
  Net net;
  const gp::PathSpace space(net);
  return gp::CostModel::measure(
      net,
      space,
      torch::zeros({1, 3, 32, 32}),
      gp::CostOptions().activations(false));
}

std::vector<gp::Objective> objectives_of(const Options& options) {
  std::vector<gp::Objective> objectives = {
      {options.score,
       options.score == "loss" ? gp::Direction::kMinimize
                               : gp::Direction::kMaximize}};
  if (options.strategy == "nsga2") {
    objectives.push_back({"FLOPs", gp::Direction::kMinimize});
  }
  return objectives;
}

std::unique_ptr<gp::SearchStrategy> make_strategy(
    const Options& options, const gp::CostModel& cost) {
  require_one_of("--strategy", options.strategy, strategy_names());
  const auto& layout = cost.layout();
  auto with = gp::SearchOptions()
                  .objectives(objectives_of(options))
                  .within(gp::CountedSpace(
                      gp::Budget(cost, gp::CostKind::kMacs, options.budget)));
  if (options.strategy == "random") {
    return std::make_unique<gp::RandomSearch>(
        layout, options.seed, std::move(with));
  }
  if (options.strategy == "local") {
    return std::make_unique<gp::LocalSearch>(
        layout, options.seed, std::move(with));
  }
  if (options.strategy == "nsga2") {
    return std::make_unique<gp::Nsga2>(layout, options.seed, std::move(with));
  }
  if (options.strategy == "predictor") {
    return std::make_unique<gp::PredictorSearch>(
        layout, options.seed, std::move(with));
  }
  return std::make_unique<gp::RegularizedEvolution>(
      layout, options.seed, std::move(with));
}

std::filesystem::path history_file(const Options& options) {
  return options.out / fmt::format(
                           "search_{}_{}_within_{}.jsonl",
                           options.strategy,
                           options.score,
                           options.budget);
}

std::optional<gp::SearchHistory> search(
    const Options& options,
    const gp::CostModel& cost,
    const ScoreSource& source,
    const std::optional<std::filesystem::path>& file) {
  const auto strategy = make_strategy(options, cost);
  auto history =
      file ? gp::SearchHistory(cost.layout(), objectives_of(options), *file)
           : gp::SearchHistory(cost.layout(), objectives_of(options));
  history.replay(*strategy);
  const auto wanted = static_cast<std::size_t>(options.evaluations);
  while (history.records().size() < wanted) {
    auto paths = strategy->pending();
    if (paths.empty()) {
      paths = strategy->ask(static_cast<std::int64_t>(
          std::min(kPathsAtOnce, wanted - history.records().size())));
    }
    if (paths.empty()) {
      break;  // all that keep the budget were asked for
    }
    if (source.score && !source.score(paths)) {
      return std::nullopt;
    }
    for (auto& path : paths) {
      const auto flops = cost.of(path).of(gp::CostKind::kMacs);
      const auto score = source.scores.find(architecture(path));
      auto values = score == source.scores.end()
                        ? std::vector<double>()
                        : values_of(options, score->second, flops);
      history.tell(
          *strategy,
          {.path = std::move(path),
           .values = std::move(values),
           .cost = flops});
    }
  }
  return history;
}

std::string found_in(const Options& options, const gp::SearchHistory& history) {
  const auto& records = history.records();
  const auto looked_at =
      std::min(records.size(), static_cast<std::size_t>(options.evaluations));
  const bool is_loss = options.score == "loss";
  const gp::SearchRecord* best = nullptr;
  for (std::size_t i = 0; i < looked_at; ++i) {
    const auto& values = records[i].values;
    if (!values.empty() &&
        (best == nullptr || (is_loss ? values[0] < best->values[0]
                                     : values[0] > best->values[0]))) {
      best = &records[i];
    }
  }
  TORCH_CHECK_VALUE(
      best != nullptr,
      fmt::format(
          "expected a path with a score among the {} that {} looked at, got "
          "none",
          looked_at,
          options.strategy));
  return architecture(best->path);
}

}  // namespace nas_bench_macro
