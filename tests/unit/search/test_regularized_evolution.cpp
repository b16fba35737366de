// SPDX-License-Identifier: MIT
#include <gatedpaths/search/regularized_evolution.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/costs.hpp"
#include "support/errors.hpp"
#include "support/samplers.hpp"
#include "support/strategies.hpp"

using gatedpaths::Budget;
using gatedpaths::CostKind;
using gatedpaths::CountedSpace;
using gatedpaths::Direction;
using gatedpaths::Path;
using gatedpaths::RegularizedEvolution;
using gatedpaths::RegularizedEvolutionOptions;
using gatedpaths::SearchOptions;
using gatedpaths::test::message_of;
using gatedpaths::test::numbered_gate;
using gatedpaths::test::search_layout;
using gatedpaths::test::search_paths;
using gatedpaths::test::search_value;
using gatedpaths::test::shared_layout;

namespace {

RegularizedEvolutionOptions evolution_sizes(
    int64_t population, int64_t sample) {
  return RegularizedEvolutionOptions()
      .population_size(population)
      .sample_size(sample);
}

std::unique_ptr<gatedpaths::SearchStrategy> evolution(uint64_t seed) {
  return std::make_unique<RegularizedEvolution>(
      search_layout(), seed, SearchOptions(), evolution_sizes(10, 4));
}

// In how many gates that both reach they differ.
int64_t evolved_gates(const Path& a, const Path& b) {
  int64_t count = 0;
  for (const auto& [gate, open] : a) {
    count += b.reaches(gate) && !open.equals(b.open_branches(gate)) ? 1 : 0;
  }
  return count;
}

// Eight gates of four: 65536 paths.
std::shared_ptr<const gatedpaths::SpaceLayout> evolved_layout() {
  std::vector<gatedpaths::GateLayout> gates;
  for (int i = 0; i < 8; ++i) {
    gates.push_back(numbered_gate("g" + std::to_string(i), 4, 1, 1));
  }
  return shared_layout(std::move(gates));
}

}  // namespace

TEST_CASE("RegularizedEvolution: asks for each path once", "[search]") {
  gatedpaths::test::check_asks_for_all(evolution, 135);
}

TEST_CASE(
    "RegularizedEvolution: is a function of seed, asks and tells",
    "[search][random]") {
  gatedpaths::test::check_is_a_function_of_the_seed(evolution);
}

TEST_CASE(
    "RegularizedEvolution: goes on exactly from what it saved",
    "[search][serialize]") {
  gatedpaths::test::check_goes_on_exactly(evolution);
}

TEST_CASE("RegularizedEvolution: mutates the best of the sample", "[search]") {
  // A sample that has all of the population in it, as good as always.
  RegularizedEvolution strategy(
      evolved_layout(), 5, SearchOptions(), evolution_sizes(5, 60));
  const auto first = strategy.ask(5);
  for (size_t i = 0; i < 5; ++i) {
    strategy.tell(first[i], {i == 2 ? 9.0 : 1.0});
  }
  for (const Path& path : strategy.ask(10)) {
    CHECK(evolved_gates(path, first[2]) == 1);
  }
}

TEST_CASE(
    "RegularizedEvolution: the best is the smallest to be minimised",
    "[search]") {
  RegularizedEvolution strategy(
      evolved_layout(),
      5,
      SearchOptions().objectives({{"loss", Direction::kMinimize}}),
      evolution_sizes(5, 60));
  const auto first = strategy.ask(5);
  for (size_t i = 0; i < 5; ++i) {
    strategy.tell(first[i], {i == 2 ? -9.0 : 1.0});
  }
  for (const Path& path : strategy.ask(10)) {
    CHECK(evolved_gates(path, first[2]) == 1);
  }
}

TEST_CASE("RegularizedEvolution: the oldest dies, however good", "[search]") {
  RegularizedEvolution strategy(
      evolved_layout(), 5, SearchOptions(), evolution_sizes(5, 60));
  const auto first = strategy.ask(6);
  strategy.tell(first[0], {100.0});
  for (size_t i = 1; i < 6; ++i) {
    strategy.tell_failure(first[i]);  // nobody enters
  }
  const auto second = strategy.ask(5);
  for (size_t i = 0; i < 5; ++i) {
    strategy.tell(second[i], {i == 1 ? 2.0 : 1.0});
  }
  // The good one was told before these five.
  for (const Path& path : strategy.ask(10)) {
    CHECK(evolved_gates(path, second[1]) == 1);
  }
}

TEST_CASE("RegularizedEvolution: keeps to a budget", "[search]") {
  const auto layout = evolved_layout();
  const auto cost = gatedpaths::test::made_up_macs(
      layout, [](int64_t, int64_t branch) { return branch; });
  const CountedSpace space(Budget(cost, CostKind::kMacs, 6));
  RegularizedEvolution strategy(
      layout, 5, SearchOptions().within(space), evolution_sizes(10, 4));
  double best = 0;
  for (int i = 0; i < 300; ++i) {
    const auto path = strategy.ask()[0];
    CHECK(space.budget().admits(path));
    best = std::max(best, search_value(path));
    strategy.tell(path, {search_value(path)});
  }
  // What is outside does not lead out of it.
  strategy.tell(layout->parse("g0=3;g1=3;g2=3;g3=3;g4=3;g5=3;g6=3;g7=3"), {99});
  for (const Path& path : strategy.ask(30)) {
    CHECK(space.budget().admits(path));
  }
  CHECK(best > 10);
}

TEST_CASE("RegularizedEvolution: mutates nested gates", "[search]") {
  RegularizedEvolution strategy(
      search_layout(), 5, SearchOptions().repeats(true), evolution_sizes(1, 1));
  const auto layout = search_layout();
  const auto parent = layout->parse("a=1;b=0;c=0;d=0");
  strategy.tell(parent, {1});
  std::set<std::string> children;
  for (const Path& path : strategy.ask(300)) {
    CHECK(evolved_gates(path, parent) == 1);
    children.insert(layout->to_string(path));
  }
  // a=2, b, c, d two each, a=0 with each of three in it.
  CHECK(children.size() == 1 + 3 * 2 + 3);
  CHECK(children.count("a=0;a.in=2;b=0;c=0;d=0") == 1);
}

TEST_CASE("RegularizedEvolution: finds the best of 65536", "[search]") {
  const auto layout = evolved_layout();
  RegularizedEvolution strategy(layout, 7);
  double best = 0;
  for (int i = 0; i < 500; ++i) {
    const auto path = strategy.ask()[0];
    best = std::max(best, search_value(path));
    strategy.tell(path, {search_value(path)});
  }
  CHECK(
      best ==
      search_value(layout->parse("g0=3;g1=3;g2=3;g3=3;g4=3;g5=3;g6=3;g7=3")));
}

TEST_CASE(
    "RegularizedEvolution: refuses what it cannot do", "[search][error]") {
  const auto layout = search_layout();
  CHECK(
      message_of<c10::ValueError>([&] {
        RegularizedEvolution(layout, 5, SearchOptions(), evolution_sizes(0, 3));
      }) ==
      "RegularizedEvolution: expected sizes of at least 1, got "
      "population_size=0 and sample_size=3");
  CHECK(
      message_of<c10::ValueError>([&] {
        RegularizedEvolution(
            layout,
            5,
            SearchOptions().objectives({{"a"}, {"b", Direction::kMinimize}}));
      }) ==
      "RegularizedEvolution: expected 1 objective, got 2 (maximize a and "
      "minimize b)");
}
