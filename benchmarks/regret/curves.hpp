// SPDX-License-Identifier: MIT
#pragma once

#include "regret/strategies.hpp"
#include "regret/tabular.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace bench {

/// How many searches, and how long.
struct RegretSettings {
  std::int64_t seeds = 200;
  /// Of `PredictorSearch`, which takes a thousand times as long to ask.
  std::int64_t predictor_seeds = 200;
  std::int64_t evaluations = 500;
  std::int64_t threads = 2;
};

/// A search's regret after each evaluation: how much more the best path of the
/// table reports than the best one, by what was told, so far; in percent.
using Regrets = std::vector<double>;

/// One search.
struct SearchRun {
  Regrets regrets;
  std::int64_t trials = 0;  ///< Asks.
  double seconds = 0;       ///< Of its thread's own time.
};

SearchRun run_search(
    const Tabular& table,
    const StrategyKind& kind,
    std::uint64_t seed,
    std::int64_t evaluations);

/// The searches of one strategy on one table, by seed from 1 on.
struct StrategyRuns {
  const StrategyKind* kind = nullptr;
  std::vector<SearchRun> runs{};

  double seconds_per_trial() const;
};

/// All searches on one table.
struct TableRuns {
  const Tabular* table = nullptr;
  std::vector<StrategyRuns> strategies{};  ///< As `strategy_kinds()`.
};

/// All strategies on all tables, which have to outlive what this gives.
std::vector<TableRuns> run_searches(
    const std::vector<Tabular>& tables, const RegretSettings& settings);

/// The regrets that a quarter, a half and three quarters of the searches do not
/// exceed after each evaluation, linearly between two of them.
struct Quartiles {
  explicit Quartiles(const std::vector<SearchRun>& runs);

  Regrets low{};
  Regrets median{};
  Regrets high{};
};

}  // namespace bench
