// SPDX-License-Identifier: MIT
// From a supernet to a finished net, scored by NAS-Bench-Macro.
//
//   nas_bench_macro --data DIR
//   nas_bench_macro --net 12012201 --budget 50e6
//
// It can be stopped with Ctrl-C at any moment, and killed; the same command
// goes on.
#include "command_line.hpp"
#include "program.hpp"
#include "session.hpp"

int main(int argc, char** argv) {
  return cifar10::run_program<nas_bench_macro::Options>(
      {argv, argv + argc},
      nas_bench_macro::parse_command_line,
      nas_bench_macro::run_session);
}
