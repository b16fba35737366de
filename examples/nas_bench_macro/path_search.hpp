// SPDX-License-Identifier: MIT
// The third stage: a strategy looks for the best path within a budget.
#pragma once

#include "options.hpp"
#include "scores.hpp"

#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/search/cost_model.hpp>
#include <gatedpaths/search/search_history.hpp>
#include <gatedpaths/search/search_options.hpp>
#include <gatedpaths/search/search_strategy.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
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

/// Where a search has the supernet's scores from.
struct ScoreSource {
  /// Sees to it that these paths are scored, as far as they can be. False where
  /// a signal came first. None: nothing more can be scored.
  std::function<bool(const std::vector<gatedpaths::Path>& paths)> score{};
  const Scores& scores;
};

/// Asks, scores and tells until the strategy has looked at so many paths, and
/// goes on with a search that was stopped, whose history is in `file`; without
/// one it is in memory. Paths without a score are told as failures. Gives what
/// was found out; none where a signal came first.
std::optional<gatedpaths::SearchHistory> search(
    const Options& options,
    const gatedpaths::CostModel& cost,
    const ScoreSource& source,
    const std::optional<std::filesystem::path>& file);

/// The file for the history of such a search.
std::filesystem::path history_file(const Options& options);

/// The best net among the first records, as many as the strategy may look at.
///
/// Throws: `c10::ValueError` where all were failures.
std::string found_in(
    const Options& options, const gatedpaths::SearchHistory& history);

}  // namespace nas_bench_macro
