// SPDX-License-Identifier: MIT
#pragma once

#include "options.hpp"
#include "scores.hpp"
#include "table.hpp"

#include <string>

namespace nas_bench_macro {

/// What the supernet says of each ranked net against what the table says, as an
/// SVG.
std::string supernet_against_table_svg(
    const Options& options, const Table& table, const Scores& scores);

/// The published accuracy of all nets against their FLOPs, the best for each
/// cost, those that the supernet takes for the best, and the found one, as an
/// SVG.
std::string accuracy_against_flops_svg(
    const Options& options,
    const Table& table,
    const Scores& scores,
    const std::string& found);

}  // namespace nas_bench_macro
