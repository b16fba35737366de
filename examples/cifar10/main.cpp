// SPDX-License-Identifier: MIT
// The gated CIFAR-10 net: parallel paths of which one is open in each step.
//
//   cifar10 --data DIR --checkpoint run.pt --metrics run.jsonl
//
// It trains, prints a table of the test accuracy of every path, and can be
// stopped with Ctrl-C and resumed at any moment.
#include "command_line.hpp"
#include "program.hpp"
#include "session.hpp"

int main(int argc, char** argv) {
  return cifar10::run_program<cifar10::Options>(
      {argv, argv + argc}, cifar10::parse_command_line, cifar10::run_session);
}
