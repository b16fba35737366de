// SPDX-License-Identifier: MIT
#pragma once

#include "regret/curves.hpp"

#include <filesystem>
#include <vector>

namespace bench {

/// Writes the curves, and each search's regret after some evaluations:
/// `tables.<name>.strategies.<name>` has `median`, `low_quartile` and
/// `high_quartile` by evaluation, `seconds_per_trial`, and `regret_at_100`
/// (200, 500) by seed, where there are as many evaluations.
///
/// Throws: `c10::Error` where the file cannot be written.
void write_regret_json(
    const std::vector<TableRuns>& all,
    const RegretSettings& settings,
    double seconds,
    const std::filesystem::path& file);

/// Draws the curves of each table, into `regret_<table>.svg` where `file` is
/// `regret.svg`.
///
/// Throws: `c10::Error` where a file cannot be written.
void write_regret_pictures(
    const std::vector<TableRuns>& all, const std::filesystem::path& file);

}  // namespace bench
