// SPDX-License-Identifier: MIT
// The program from its flags to its exit status.
#pragma once

#include "command_line.hpp"

#include <string>

namespace cifar10 {

/// Trains, tests, reports and saves as the options say. Throws, before it reads
/// or writes anything, where the files of another run are in the way, or are
/// being written by one. `command`
/// is what the user typed, but for --overwrite, for the hint on how to go on.
/// Gives the exit status: 0, or 128 + the signal that stopped it.
int run_session(const Options& options, const std::string& command);

}  // namespace cifar10
