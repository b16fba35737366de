// SPDX-License-Identifier: MIT
// What the table says of a net.
#pragma once

#include "options.hpp"
#include "table.hpp"

#include <cstdint>
#include <string>

namespace nas_bench_macro {

/// A line on a net: its costs, its published accuracy, and its place among the
/// nets within so many FLOPs.
std::string net_line(
    const std::string& what,
    const Table& table,
    const Record& record,
    std::int64_t most_flops);

/// Prints that of the net that the options name, and of the best within the
/// budget, and counts its costs anew.
///
/// Throws: `c10::Error` where they are not those of the table.
void report_net(const Options& options);

}  // namespace nas_bench_macro
