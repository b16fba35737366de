// SPDX-License-Identifier: MIT
#include "regret/strategies.hpp"

#include <gatedpaths/search/local_search.hpp>
#include <gatedpaths/search/nsga2.hpp>
#include <gatedpaths/search/predictor_search.hpp>
#include <gatedpaths/search/random_search.hpp>
#include <gatedpaths/search/regularized_evolution.hpp>
#include <gatedpaths/search/successive_halving.hpp>

#include <utility>

namespace bench {
namespace {

namespace gp = gatedpaths;

using Layout = std::shared_ptr<const gp::SpaceLayout>;

template <class Strategy>
Search start(const Layout& layout, std::uint64_t seed) {
  return {std::make_unique<Strategy>(layout, seed), 1, [](const gp::Path&) {
            return std::int64_t{1};
          }};
}

Search start_halving(const Layout& layout, std::uint64_t seed) {
  auto strategy = std::make_unique<gp::SuccessiveHalving>(layout, seed);
  const auto& halving = *strategy;
  const auto full_length = halving.lengths().back();
  return {std::move(strategy), full_length, [&halving](const gp::Path& path) {
            return halving.length(path);
          }};
}

}  // namespace

const std::vector<StrategyKind>& strategy_kinds() {
  static const std::vector<StrategyKind> kinds = {
      {"RandomSearch", "", "#555555", start<gp::RandomSearch>},
      {"RegularizedEvolution", "", "#c8102e", start<gp::RegularizedEvolution>},
      {"LocalSearch", "", "#1f77b4", start<gp::LocalSearch>},
      {"Nsga2", "by the accuracy alone", "#2ca02c", start<gp::Nsga2>},
      {"PredictorSearch", "", "#d9820f", start<gp::PredictorSearch>},
      {"SuccessiveHalving",
       "a bound: tables have no shorter trainings, so each length tells the "
       "full one's accuracy, for its share of an evaluation",
       "#9467bd",
       start_halving}};
  return kinds;
}

}  // namespace bench
