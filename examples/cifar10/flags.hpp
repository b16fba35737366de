// SPDX-License-Identifier: MIT
// What the command lines of the programs have in common.
#pragma once

#include "data_source.hpp"
#include "flag_checks.hpp"

#include <CLI/CLI.hpp>

#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace cifar10 {

/// For `CLI::Option::transform`: a check may write the text anew.
CLI::Validator checked(Check check);

/// Puts the default in brackets behind the description, and leaves out which
/// flags need or exclude which: the descriptions say it.
std::shared_ptr<CLI::Formatter> help_formatter();

/// The flags that say which images there are.
void add_data_flags(CLI::App& app, DataRequest& data);

/// Reads the arguments, and then calls `check`, which may throw a
/// `CLI::ParseError`, too. Gives the exit status where the program has nothing
/// more to do: 0 after --help, 2 after a flag that cannot be used.
std::optional<int> parse_flags(
    CLI::App& app,
    std::vector<std::string> arguments,
    const std::function<void()>& check,
    std::ostream& out,
    std::ostream& err);

}  // namespace cifar10
