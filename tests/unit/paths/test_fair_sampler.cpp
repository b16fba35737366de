// SPDX-License-Identifier: MIT
#include <gatedpaths/paths/fair_sampler.hpp>

#include <algorithm>
#include <limits>
#include <map>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/fake_gate.hpp"
#include "support/samplers.hpp"

using gatedpaths::FairSampler;
using gatedpaths::PathSpace;
using gatedpaths::test::deviations_from_uniform;
using gatedpaths::test::message_of;
using gatedpaths::test::numbered_gate;
using gatedpaths::test::shared_layout;

static_assert(gatedpaths::PathSampler<FairSampler>);

namespace {

// How often each branch of a gate is open in `steps` steps from `first` on.
std::vector<int64_t> times_open(
    const FairSampler& sampler, int64_t gate, uint64_t first, uint64_t steps) {
  std::vector<int64_t> times(sampler.layout().gate(gate).branch_names.size());
  for (uint64_t step = first; step < first + steps; ++step) {
    const auto path = sampler.at(step);
    if (path.reaches(gate)) {
      for (const int64_t branch : path.open_branches(gate)) {
        ++times[static_cast<size_t>(branch)];
      }
    }
  }
  return times;
}

std::vector<int64_t> each_branch(size_t branches, int64_t times) {
  return std::vector<int64_t>(branches, times);
}

}  // namespace

TEST_CASE(
    "FairSampler: each branch is open once in each round of N steps",
    "[fair_sampler]") {
  const FairSampler sampler(
      shared_layout(
          {numbered_gate("a", 3, 1, 1),
           numbered_gate("b", 5, 1, 1),
           numbered_gate("c", 1, 1, 1)}),
      7);
  for (uint64_t round = 0; round < 50; ++round) {
    CHECK(times_open(sampler, 0, 3 * round, 3) == each_branch(3, 1));
    CHECK(times_open(sampler, 1, 5 * round, 5) == each_branch(5, 1));
    CHECK(times_open(sampler, 2, round, 1) == each_branch(1, 1));
  }
}

TEST_CASE(
    "FairSampler: k of N branches are open k times in each round",
    "[fair_sampler]") {
  const int64_t branches = GENERATE(2, 3, 6, 7);
  for (int64_t size = 1; size <= branches; ++size) {
    CAPTURE(branches, size);
    const FairSampler sampler(
        shared_layout({numbered_gate("g", branches, size, size)}), 7);
    const auto n = static_cast<uint64_t>(branches);
    for (uint64_t round = 0; round < 10; ++round) {
      CHECK(
          times_open(sampler, 0, n * round, n) ==
          each_branch(static_cast<size_t>(branches), size));
    }
  }
}

TEST_CASE(
    "FairSampler: the order of a round is uniform, and new each time",
    "[fair_sampler][random]") {
  const FairSampler sampler(
      shared_layout({numbered_gate("a", 3, 1, 1), numbered_gate("b", 3, 1, 1)}),
      7);
  // The order of a gate's round, as the number that its digits make.
  const auto order_of = [&](int64_t gate, uint64_t round) {
    int64_t digits = 0;
    for (uint64_t step = 3 * round; step < 3 * round + 3; ++step) {
      digits = digits * 3 + sampler.at(step).open_branches(gate).front();
    }
    return digits;
  };
  std::map<std::pair<int64_t, int64_t>, int64_t> in_sequence;
  std::map<std::pair<int64_t, int64_t>, int64_t> beside;
  for (uint64_t round = 0; round < 3000; ++round) {
    ++in_sequence[{order_of(0, round), order_of(0, round + 1)}];
    ++beside[{order_of(0, round), order_of(1, round)}];
  }
  // Uniform over all pairs of orders is uniform and independent at once.
  for (const auto& pairs : {in_sequence, beside}) {
    REQUIRE(pairs.size() == 36);
    std::vector<int64_t> counts;
    for (const auto& entry : pairs) {
      counts.push_back(entry.second);
    }
    CHECK(deviations_from_uniform(counts) < 4);
  }
}

TEST_CASE(
    "FairSampler: the set of a single step is uniform",
    "[fair_sampler][random]") {
  const FairSampler sampler(shared_layout({numbered_gate("g", 5, 3, 3)}), 7);
  const uint64_t position = GENERATE(0U, 3U);
  std::map<std::vector<int64_t>, int64_t> seen;
  for (uint64_t round = 0; round < 3000; ++round) {
    ++seen[sampler.at(5 * round + position).open_branches(0)];
  }
  REQUIRE(seen.size() == 10);
  std::vector<int64_t> counts;
  for (const auto& entry : seen) {
    counts.push_back(entry.second);
  }
  CHECK(deviations_from_uniform(counts) < 4);
}

TEST_CASE(
    "FairSampler: a nested gate is fair over the steps that reach it",
    "[fair_sampler]") {
  SECTION("gates that open one branch, or all") {
    const FairSampler sampler(
        shared_layout(
            {numbered_gate("outer", 3, 1, 1),
             numbered_gate("all", 2, 2, 2, {{0, 1}}),
             numbered_gate("inner", 2, 1, 1, {{1, 0}}),
             numbered_gate("deep", 3, 2, 2, {{2, 1}})}),
        7);
    // 3 steps reach "inner" once, 6 steps "deep": its rounds are 18 steps.
    for (uint64_t round = 0; round < 10; ++round) {
      CHECK(times_open(sampler, 1, 3 * round, 3) == each_branch(2, 1));
      CHECK(times_open(sampler, 2, 6 * round, 6) == each_branch(2, 1));
      CHECK(times_open(sampler, 3, 18 * round, 18) == each_branch(3, 2));
    }
  }
  SECTION("inside of some of several, over the steps that reach the outer") {
    // How often a branch of the inner gate is open where that is reached is
    // even on average only.
    const FairSampler sampler(
        shared_layout(
            {numbered_gate("outer", 3, 2, 2),
             numbered_gate("inner", 2, 1, 1, {{0, 1}})}),
        7);
    constexpr uint64_t kSteps = 6000;
    const auto times = times_open(sampler, 1, 0, kSteps);
    CHECK(times[0] + times[1] == kSteps * 2 / 3);
    // In two steps the inner gate draws both of its branches, which makes the
    // variance at most that of free draws.
    CHECK(
        std::abs(static_cast<double>(times[0] - times[1])) <
        4 * std::sqrt(kSteps * 2.0 / 3));
  }
  SECTION("with several places, over all steps") {
    const FairSampler sampler(
        shared_layout(
            {numbered_gate("outer", 2, 1, 1),
             numbered_gate("inner", 3, 1, 1, {{0, 0}, {0, 1}})}),
        7);
    for (uint64_t round = 0; round < 10; ++round) {
      CHECK(times_open(sampler, 1, 3 * round, 3) == each_branch(3, 1));
    }
  }
}

TEST_CASE(
    "FairSampler: nesting deeper than 64 bits of steps still draws",
    "[fair_sampler]") {
  std::vector<gatedpaths::GateLayout> gates{numbered_gate("0", 16, 1, 1)};
  for (int64_t i = 1; i < 20; ++i) {
    std::vector<gatedpaths::GatePlace> places;
    places.push_back({i - 1, 3});
    gates.push_back(numbered_gate(std::to_string(i), 16, 1, 1, places));
  }
  const FairSampler sampler(shared_layout(std::move(gates)), 7);
  const uint64_t last = std::numeric_limits<uint64_t>::max();
  CHECK(sampler.at(last).size() >= 1);
  const auto times = times_open(sampler, 0, last - 15, 15);
  CHECK(std::count(times.begin(), times.end(), 1) == 15);
  CHECK(times_open(sampler, 0, 16, 16) == each_branch(16, 1));
}

TEST_CASE(
    "FairSampler: a path is a function of seed and step",
    "[fair_sampler][random]") {
  // The seed of the stream whose key is 7, see stream_seed.
  const FairSampler sampler(
      shared_layout({numbered_gate("a", 3, 1, 1), numbered_gate("b", 4, 2, 2)}),
      0x845c5006b1d24e73U);
  gatedpaths::test::check_function_of_step(sampler);
  // Computed apart from this code.
  CHECK(
      gatedpaths::test::first_paths(sampler, 8) == std::vector<std::string>{
                                                       "a=1;b=1+2",
                                                       "a=0;b=2+3",
                                                       "a=2;b=0+3",
                                                       "a=0;b=0+1",
                                                       "a=1;b=1+3",
                                                       "a=2;b=2+3",
                                                       "a=2;b=0+2",
                                                       "a=0;b=0+1"});
}

TEST_CASE(
    "FairSampler: draws for a network, and without it", "[fair_sampler]") {
  auto net = gatedpaths::test::fake_gate({"a", "b", "c"});
  PathSpace space(net);
  FairSampler sampler(space, 7);
  std::vector<int64_t> times(3);
  for (uint64_t step = 0; step < 30; ++step) {
    space.apply(sampler.next());
    CHECK(space.current() == FairSampler(space.layout(), 7).at(step));
    ++times[static_cast<size_t>(net->open_branches().front())];
  }
  CHECK(times == each_branch(3, 10));
}

TEST_CASE(
    "FairSampler: needs gates that open a fixed number of branches",
    "[fair_sampler][error]") {
  CHECK(
      message_of<c10::ValueError>([] {
        FairSampler(
            shared_layout(
                {numbered_gate("a", 3, 1, 1), numbered_gate("b", 3, 1, 2)}),
            7);
      }) ==
      "FairSampler: expected min_open == max_open for gate 'b', got min_open=1 "
      "and max_open=2; UniformSampler and BernoulliSampler take such gates");
  CHECK(message_of<c10::ValueError>([] {
          FairSampler(std::shared_ptr<const gatedpaths::SpaceLayout>(), 1);
        }) == "Sampler: expected a space, got a null pointer");
}
