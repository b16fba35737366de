// SPDX-License-Identifier: MIT
// The peak memory of a training step of the seed net beyond its weights, from
// the reports of LibTorch's allocator. Two counters:
//
//   peak_bytes        a step long into the training: what its activations and
//                     gradients take beyond the weights and their momentum
//   first_peak_bytes  the first step, which makes the momentum of what it moves
#include "support/memory_peak.hpp"
#include "support/program.hpp"
#include "support/seed_forms.hpp"

#include <ATen/Parallel.h>

#include <cstdint>
#include <utility>
#include <vector>

namespace {

using bench::SeedSettings;

double first_peak(bench::Form form, const SeedSettings& settings) {
  const auto training = bench::make_training(form, settings);
  return static_cast<double>(
      bench::peak_bytes([&] { training->step(settings.branches - 1); }));
}

void measure(
    benchmark::State& state, bench::Form form, const SeedSettings& settings) {
  at::set_num_threads(settings.threads);
  state.counters["first_peak_bytes"] = first_peak(form, settings);

  const auto training = bench::make_training(form, settings);
  training->make_momentum();
  const auto open = settings.branches - 1;
  training->step(open);
  state.counters["peak_bytes"] =
      static_cast<double>(bench::peak_bytes([&] { training->step(open); }));
  for (auto _ : state) {
    training->step(open);
  }
}

bench::Group make_group(const SeedSettings& settings) {
  bench::Group group;
  group.check = [settings] { bench::check_forms(settings); };
  for (const auto form : bench::kForms) {
    group.rows.push_back(
        {bench::row_name("memory", form, settings),
         [=](benchmark::State& state) { measure(state, form, settings); }});
  }
  return group;
}

std::vector<bench::Group> make_groups(const bench::Settings& settings) {
  std::vector<bench::Group> groups;
  if (settings.quick) {
    groups.push_back(make_group({.branches = 4}));
    return groups;
  }
  for (const int width : {1, 4}) {
    for (const int batch : {4, 64}) {
      for (const int branches : {2, 8, 64}) {
        groups.push_back(make_group({branches, batch, width, 1}));
      }
    }
  }
  return groups;
}

}  // namespace

int main(int argc, char** argv) {
  // The same bytes at each repetition; the times are only by the way.
  return bench::run_program(
      argc, argv, make_groups, {.repetitions = 1, .seconds = 0.001});
}
