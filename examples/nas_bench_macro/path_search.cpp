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

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <utility>

namespace nas_bench_macro {
namespace {

namespace gp = gatedpaths;

constexpr std::size_t kPathsAtOnce = 8;

std::filesystem::path history_file(const Options& options) {
  return options.out / fmt::format(
                           "search_{}_{}_within_{}.jsonl",
                           options.strategy,
                           options.score,
                           options.budget);
}

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

std::optional<gp::SearchHistory> search(
    const Options& options, const gp::CostModel& cost, Ranking& ranking) {
  const auto strategy = make_strategy(options, cost);
  gp::SearchHistory history(
      cost.layout(), objectives_of(options), history_file(options));
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
    if (!ranking.score(paths)) {
      return std::nullopt;
    }
    for (auto& path : paths) {
      const auto flops = cost.of(path).of(gp::CostKind::kMacs);
      auto values =
          values_of(options, ranking.scores().at(architecture(path)), flops);
      history.tell(
          *strategy,
          {.path = std::move(path),
           .values = std::move(values),
           .cost = flops});
    }
  }
  return history;
}

}  // namespace nas_bench_macro
