// SPDX-License-Identifier: MIT
// What the programs do around what they are for.
#pragma once

#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace cifar10 {

/// Reads the flags and gives the exit status where nothing more is to be done.
using ParseFlags = std::function<std::optional<int>(
    const std::vector<std::string>& arguments,
    std::ostream& out,
    std::ostream& err)>;

/// Runs what they say. `command` is what the user typed, but for --overwrite.
using RunCommand = std::function<int(const std::string& command)>;

/// Gives the exit status of the program: that of either, 1 after an error, of
/// which stderr gets a line, and where standard output was lost.
/// `arguments` begins with the program's own name.
int run_program(
    const std::vector<std::string>& arguments,
    const ParseFlags& parse,
    const RunCommand& run);

/// The same, with the options that one fills and the other takes.
template <class Options, class Parse, class Run>
int run_program(
    const std::vector<std::string>& arguments,
    const Parse& parse,
    const Run& run) {
  Options options;
  return run_program(
      arguments,
      [&](const auto& flags, auto& out, auto& err) {
        return parse(flags, options, out, err);
      },
      [&](const std::string& command) { return run(options, command); });
}

}  // namespace cifar10
