// SPDX-License-Identifier: MIT
// The gated CIFAR-10 net: parallel paths of which one is open in each step.
//
//   cifar10 --data DIR --checkpoint run.pt --metrics run.jsonl
//
// It trains, prints a table of the test accuracy of every path, and can be
// stopped with Ctrl-C and resumed at any moment.
#include "output.hpp"
#include "printable.hpp"
#include "session.hpp"

#include <c10/util/Exception.h>

#include <cstdio>
#include <exception>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

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

/// Runs the program, and gives its exit status but for a loss of its output.
int run(const std::string& program, const std::vector<std::string>& arguments) {
  cifar10::Options options;
  std::ostringstream help;
  if (const auto status =
          cifar10::parse_command_line(arguments, options, help, std::cerr)) {
    cifar10::write_out(stdout, help.str());
    return *status;
  }
  std::string command = quoted(program);
  for (const auto& argument : arguments) {
    // Who goes on with the run does not start it anew.
    if (argument != "--overwrite" && !argument.starts_with("--overwrite=")) {
      command += ' ' + quoted(argument);
    }
  }
  std::string problem;
  try {
    return cifar10::run_session(options, command);
  } catch (const c10::Error& error) {
    problem = error.what_without_backtrace();
  } catch (const std::exception& error) {
    problem = error.what();
  }
  std::cerr << "cifar10: " << cifar10::printable(problem) << '\n';
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const int status = run(argv[0], {argv + 1, argv + argc});
  return status == 0 && std::ferror(stdout) != 0 ? 1 : status;
}
