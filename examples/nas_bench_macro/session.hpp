// SPDX-License-Identifier: MIT
// The program from its flags to its exit status.
#pragma once

#include "options.hpp"

#include <string>

namespace nas_bench_macro {

/// Goes through the stages, or reports as the options say. `command` is what
/// the user typed, but for --overwrite, for the hint on how to go on. Gives the
/// exit status: 0, or 128 + the signal that stopped it.
int run_session(const Options& options, const std::string& command);

}  // namespace nas_bench_macro
