// SPDX-License-Identifier: MIT
#include <gatedpaths/search/local_search.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
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
using gatedpaths::LocalSearch;
using gatedpaths::Path;
using gatedpaths::SearchOptions;
using gatedpaths::test::message_of;
using gatedpaths::test::numbered_gate;
using gatedpaths::test::search_layout;
using gatedpaths::test::search_paths;
using gatedpaths::test::shared_layout;

namespace {

std::unique_ptr<gatedpaths::SearchStrategy> local_search(uint64_t seed) {
  return std::make_unique<LocalSearch>(search_layout(), seed);
}

// In how many of four gates they differ.
int64_t climbed_gates(const Path& a, const Path& b) {
  int64_t count = 0;
  for (const auto& [gate, open] : a) {
    count += open.equals(b.open_branches(gate)) ? 0 : 1;
  }
  return count;
}

std::shared_ptr<const gatedpaths::SpaceLayout> flat_layout() {
  return shared_layout(
      {numbered_gate("a", 3, 1, 1),
       numbered_gate("b", 3, 1, 1),
       numbered_gate("c", 3, 1, 1),
       numbered_gate("d", 3, 1, 1)});
}

}  // namespace

TEST_CASE("LocalSearch: asks for each path once", "[search]") {
  gatedpaths::test::check_asks_for_all(local_search, 135);
}

TEST_CASE(
    "LocalSearch: is a function of seed, asks and tells", "[search][random]") {
  gatedpaths::test::check_is_a_function_of_the_seed(local_search);
}

TEST_CASE(
    "LocalSearch: goes on exactly from what it saved", "[search][serialize]") {
  gatedpaths::test::check_goes_on_exactly(local_search);
}

TEST_CASE(
    "LocalSearch: asks for all neighbours, then starts anew", "[search]") {
  LocalSearch strategy(flat_layout(), 5);
  const auto start = strategy.ask()[0];
  strategy.tell(start, {1});
  for (int i = 0; i < 8; ++i) {
    const auto path = strategy.ask()[0];
    CHECK(climbed_gates(path, start) == 1);
    if (i % 2 == 0) {
      strategy.tell(path, {0.5});
    } else {
      strategy.tell_failure(path);
    }
  }
  // The next climb: the first that has a value is its place, however bad.
  const auto next = strategy.ask()[0];
  CHECK(climbed_gates(next, start) > 1);
  strategy.tell(next, {-7});
  CHECK(climbed_gates(strategy.ask()[0], next) == 1);
}

TEST_CASE("LocalSearch: moves to the first that is better", "[search]") {
  LocalSearch strategy(
      flat_layout(),
      5,
      SearchOptions().objectives({{"loss", Direction::kMinimize}}));
  const auto start = strategy.ask()[0];
  strategy.tell(start, {3});
  const auto neighbours = strategy.ask(3);
  strategy.tell(neighbours[0], {4});
  CHECK(climbed_gates(strategy.ask()[0], start) == 1);
  strategy.tell(neighbours[1], {2});
  CHECK(climbed_gates(strategy.ask()[0], neighbours[1]) == 1);
  strategy.tell(neighbours[2], {2});  // no better
  CHECK(climbed_gates(strategy.ask()[0], neighbours[1]) == 1);
}

TEST_CASE("LocalSearch: keeps to a budget", "[search]") {
  const auto layout = search_layout();
  const auto cost = gatedpaths::test::made_up_macs(
      layout, [](int64_t, int64_t branch) { return branch; });
  const CountedSpace space(Budget(cost, CostKind::kMacs, 3));
  LocalSearch strategy(layout, 5, SearchOptions().within(space));
  const auto texts = search_paths(strategy, 1000);
  CHECK(texts.size() == 45);
  for (const auto& text : texts) {
    CHECK(space.budget().admits(layout->parse(text)));
  }
}

TEST_CASE("LocalSearch: climbs on where repeats are allowed", "[search]") {
  LocalSearch strategy(flat_layout(), 5, SearchOptions().repeats(true));
  // More than all paths: climbs end, and begin at paths that are known.
  CHECK(search_paths(strategy, 200).size() == 200);
}

TEST_CASE("LocalSearch: takes one objective", "[search][error]") {
  CHECK(
      message_of<c10::ValueError>([] {
        LocalSearch(
            search_layout(), 5, SearchOptions().objectives({{"a"}, {"b"}}));
      }) ==
      "LocalSearch: expected 1 objective, got 2 (maximize a and maximize b)");
}
