// SPDX-License-Identifier: MIT
#include "program.hpp"

#include "output.hpp"
#include "printable.hpp"

#include <c10/util/Exception.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <iostream>
#include <sstream>

namespace cifar10 {
namespace {

/// The word as a shell takes it.
std::string quoted(const std::string& word) {
  constexpr auto kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=,+-";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) {
    return word;
  }
  std::string result = "'";
  for (const char c : word) {
    result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  }
  return result + "'";
}

int run_flags(
    const std::string& program,
    const std::vector<std::string>& flags,
    const ParseFlags& parse,
    const RunCommand& run) {
  std::ostringstream help;
  if (const auto status = parse(flags, help, std::cerr)) {
    write_out(stdout, help.str());
    return *status;
  }
  std::string command = quoted(program);
  for (const auto& flag : flags) {
    // Who goes on with a run does not start it anew.
    if (flag != "--overwrite" && !flag.starts_with("--overwrite=")) {
      command += ' ' + quoted(flag);
    }
  }
  std::string problem;
  try {
    return run(command);
  } catch (const c10::Error& error) {
    problem = error.what_without_backtrace();
  } catch (const std::exception& error) {
    problem = error.what();
  }
  std::cerr << std::filesystem::path(program).filename().string() << ": "
            << printable(problem) << '\n';
  return 1;
}

}  // namespace

int run_program(
    const std::vector<std::string>& arguments,
    const ParseFlags& parse,
    const RunCommand& run) {
  const int status = run_flags(
      arguments.front(), {arguments.begin() + 1, arguments.end()}, parse, run);
  return status == 0 && std::ferror(stdout) != 0 ? 1 : status;
}

}  // namespace cifar10
