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

/// Rows that are held against each other: they run in rounds, each once a
/// round, so that what disturbs the machine for a while disturbs all of them.
struct Group {
  std::function<void()> check;  // throws where a row computes something wrong
  std::vector<Row> rows;
};

using MakeGroups = std::function<std::vector<Group>(const Settings&)>;

/// How many rounds, and how long each time, a row runs unless the flags say
/// otherwise. A row of more than a quarter second an iteration, beside others
/// that are four times as fast, takes part in a third of the rounds.
struct Effort {
  int repetitions = 15;
  double seconds = 0.1;
};

/// Tells malloc to give nothing back to the system from now on. Where the large
/// outputs of a step cross the end of the heap, it else takes them from there
/// anew in each step, or does not, by chance: a difference of tens of percent.
void keep_freed_memory();

/// Checks and runs the groups one after the other. Gives the exit status.
int run_program(
    int argc,
    char** argv,
    const MakeGroups& make_groups,
    const Effort& effort = {});

}  // namespace bench
