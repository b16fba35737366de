// SPDX-License-Identifier: MIT
// The gated CIFAR-10 net: parallel paths of which one is open in each step.
//
//   cifar10 --data DIR --checkpoint run.pt --metrics run.jsonl
//
// It trains, prints a table of the test accuracy of every path, and can be
// stopped with Ctrl-C and resumed at any moment.
#include "session.hpp"

#include <c10/util/Exception.h>

#include <exception>
#include <iostream>
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

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  cifar10::Options options;
  if (const auto status = cifar10::parse_command_line(
          arguments, options, std::cout, std::cerr)) {
    return *status;
  }
  std::string command = quoted(argv[0]);
  for (const auto& argument : arguments) {
    command += ' ' + quoted(argument);
  }
  try {
    return cifar10::run_session(options, command);
  } catch (const c10::Error& error) {
    std::cerr << "cifar10: " << error.what_without_backtrace() << '\n';
  } catch (const std::exception& error) {
    std::cerr << "cifar10: " << error.what() << '\n';
  }
  return 1;
}
