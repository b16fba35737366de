// SPDX-License-Identifier: MIT
// The flags of the program.
#pragma once

#include "options.hpp"

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace nas_bench_macro {

/// Reads the flags into `options`. Gives the exit status where the program has
/// nothing more to do: 0 after --help, 2 after a flag that cannot be used.
std::optional<int> parse_command_line(
    const std::vector<std::string>& arguments,
    Options& options,
    std::ostream& out,
    std::ostream& err);

/// Takes a scale, but for what flags have given.
void set_scale(Options& options, const Scale& scale);

}  // namespace nas_bench_macro
