// SPDX-License-Identifier: MIT
#pragma once

#include "regret/curves.hpp"

#include <vector>

namespace bench {

/// Prints the regrets and times, and the bars that figures have to reach.
void print_report(
    const std::vector<TableRuns>& all,
    const RegretSettings& settings,
    double seconds);

}  // namespace bench
