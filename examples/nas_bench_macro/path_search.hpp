// SPDX-License-Identifier: MIT
// The third stage: a strategy looks for the best path within a budget.
#pragma once

#include "options.hpp"
#include "ranking.hpp"

#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/search/cost_model.hpp>
#include <gatedpaths/search/search_history.hpp>
#include <gatedpaths/search/search_options.hpp>
#include <gatedpaths/search/search_strategy.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace nas_bench_macro {

/// The names of the flag --strategy, the default first.
const std::vector<std::string>& strategy_names();

/// What a net of the benchmark costs, as published: at full width and on images
/// of 32 x 32, whatever the supernet has. Of the same space as the supernet.
gatedpaths::CostModel published_cost();

/// What is looked for: the supernet's score, and for NSGA-II the FLOPs, too.
std::vector<gatedpaths::Objective> objectives_of(const Options& options);

/// Throws: `c10::ValueError` for another name, or a budget that no path keeps.
std::unique_ptr<gatedpaths::SearchStrategy> make_strategy(
    const Options& options, const gatedpaths::CostModel& cost);

/// Asks, scores and tells until the strategy has looked at so many paths, and
/// goes on with a search that was stopped. Gives what was found out; none where
/// a signal came first.
std::optional<gatedpaths::SearchHistory> search(
    const Options& options,
    const gatedpaths::CostModel& cost,
    Ranking& ranking);

}  // namespace nas_bench_macro
