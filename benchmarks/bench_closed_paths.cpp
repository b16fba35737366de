// SPDX-License-Identifier: MIT
// A full training step of the seed net with N paths of which one is open, for
// each way of closing the others; and of the net that has one path for good.
#include "support/program.hpp"
#include "support/seed_forms.hpp"

#include <ATen/Parallel.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace {

using bench::SeedSettings;

// A name of its own, for python/instructions.py to find.
[[gnu::noinline]] void timed_step(
    bench::Training& training, std::int64_t path) {
  training.step(path);
}

void time_steps(
    benchmark::State& state,
    bench::Form form,
    const SeedSettings& settings,
    bool same_path) {
  at::set_num_threads(settings.threads);
  const auto training = bench::make_training(form, settings);
  training->make_momentum();
  const auto open = bench::open_branches(settings, same_path);
  std::size_t next = 0;
  const auto next_path = [&] { return open[next++ % open.size()]; };

  using Clock = std::chrono::steady_clock;
  const auto warm = Clock::now() + std::chrono::milliseconds(20);
  do {
    training->step(next_path());
  } while (Clock::now() < warm);

  for (auto _ : state) {
    timed_step(*training, next_path());
  }
}

bench::Group make_group(const SeedSettings& settings, bool same_path) {
  bench::Group group;
  group.check = [settings] { bench::check_forms(settings); };
  for (const auto form : bench::kForms) {
    group.rows.push_back(
        {bench::row_name("closed_paths", form, settings),
         [=](benchmark::State& state) {
           time_steps(state, form, settings, same_path);
         }});
  }
  return group;
}

bench::Group make_one_path_group(const SeedSettings& settings) {
  bench::Group group;
  group.check = [settings] { bench::check_one_path_forms(settings); };
  for (const auto form : bench::kOnePathForms) {
    group.rows.push_back(
        {bench::row_name("one_path", form, settings),
         [=](benchmark::State& state) {
           time_steps(state, form, settings, /*same_path=*/true);
         }});
  }
  return group;
}

std::vector<bench::Group> make_groups(const bench::Settings& settings) {
  std::vector<bench::Group> groups;
  if (settings.quick) {
    groups.push_back(make_group({.branches = 2}, settings.same_path));
    groups.push_back(make_group({.branches = 4}, settings.same_path));
    groups.push_back(make_one_path_group({.branches = 2}));
    return groups;
  }
  for (const int threads : {1, 2}) {
    for (const int width : {1, 4}) {
      for (const int batch : {4, 64}) {
        for (const int branches : {2, 4, 8, 16, 32, 64}) {
          groups.push_back(make_group(
              {branches, batch, width, threads}, settings.same_path));
        }
      }
    }
  }
  for (const int batch : {4, 64}) {
    groups.push_back(make_one_path_group({.branches = 8, .batch = batch}));
  }
  return groups;
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_program(argc, argv, make_groups);
}
