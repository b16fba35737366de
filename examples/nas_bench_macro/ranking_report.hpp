// SPDX-License-Identifier: MIT
// The last stage: the supernet's ranking and the found net, held against what
// the table says of them, as text, as JSON and as pictures.
#pragma once

#include "options.hpp"
#include "scores.hpp"
#include "table.hpp"

#include <string>
#include <vector>

namespace nas_bench_macro {

/// Writes `report.json`, `supernet_against_table.svg` and
/// `accuracy_against_flops.svg` into --out, and gives the report as text.
/// `notes` say what was trained; `found` is the net that the search gave.
std::string report(
    const Options& options,
    const Table& table,
    const std::vector<std::string>& notes,
    const Scores& scores,
    const std::string& found);

/// Searches the ranking that the options name, as the run did that made it, and
/// prints the report.
void report_ranking(const Options& options);

}  // namespace nas_bench_macro
