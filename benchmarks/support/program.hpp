// SPDX-License-Identifier: MIT
// The main function of every benchmark program: its flags, the order in which
// the rows run, and where their times go.
#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <string>
#include <vector>

namespace bench {

struct Settings {
  bool quick = false;      // the smallest settings, each row once
  bool same_path = false;  // the same path open in every step
};

struct Row {
  std::string name;
  std::function<void(benchmark::State&)> run;
  benchmark::TimeUnit unit = benchmark::kMicrosecond;
};

/// Rows that are held against each other. Their repetitions are interleaved, so
/// that what disturbs the machine for a while disturbs all of them.
struct Group {
  std::function<void()> check;  // throws where a row computes something wrong
  std::vector<Row> rows;
};

using MakeGroups = std::function<std::vector<Group>(const Settings&)>;

/// How often, and how long each time, a row runs unless the flags say
/// otherwise.
struct Effort {
  int repetitions = 15;
  double seconds = 0.1;
};

/// Checks and runs the groups one after the other. Gives the exit status.
int run_program(
    int argc,
    char** argv,
    const MakeGroups& make_groups,
    const Effort& effort = {});

}  // namespace bench
