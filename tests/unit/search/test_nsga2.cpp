// SPDX-License-Identifier: MIT
#include <gatedpaths/search/nsga2.hpp>

#include <gatedpaths/search/random_search.hpp>
#include <gatedpaths/search/search_history.hpp>

#include <algorithm>
#include <cstddef>
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
using gatedpaths::Nsga2;
using gatedpaths::Nsga2Options;
using gatedpaths::Objective;
using gatedpaths::Path;
using gatedpaths::RandomSearch;
using gatedpaths::SearchHistory;
using gatedpaths::SearchOptions;
using gatedpaths::SearchStrategy;
using gatedpaths::test::message_of;
using gatedpaths::test::numbered_gate;
using gatedpaths::test::search_layout;
using gatedpaths::test::search_paths;
using gatedpaths::test::shared_layout;

namespace {

const std::vector<Objective> kTwo{{"high"}, {"low", Direction::kMinimize}};

std::unique_ptr<SearchStrategy> nsga2(uint64_t seed) {
  return std::make_unique<Nsga2>(
      search_layout(),
      seed,
      SearchOptions().objectives(kTwo),
      Nsga2Options().population_size(8));
}

std::shared_ptr<const gatedpaths::SpaceLayout> front_layout() {
  std::vector<gatedpaths::GateLayout> gates;
  for (int i = 0; i < 10; ++i) {
    gates.push_back(numbered_gate("g" + std::to_string(i), 4, 1, 1));
  }
  return shared_layout(std::move(gates));
}

// Two values at odds: the sum of the branches, and of their squares by gate.
std::vector<double> front_values(const Path& path) {
  double high = 0;
  double low = 0;
  for (const auto& [gate, open] : path) {
    const auto branch = static_cast<double>(open[0]);
    high += branch;
    low += branch * branch * static_cast<double>(gate + 1);
  }
  return {high, low};
}

// The area between the front and (0, 600), as a part of all.
double front_area(SearchStrategy& strategy, int count) {
  SearchHistory history(strategy.layout(), kTwo);
  for (int i = 0; i < count; ++i) {
    const auto path = strategy.ask()[0];
    history.tell(strategy, {.path = path, .values = front_values(path)});
  }
  std::vector<double> least(31, 600);  // by what is reached at least
  for (const auto& record : history.records()) {
    for (size_t at = 0; at <= static_cast<size_t>(record.values[0]); ++at) {
      least[at] = std::min(least[at], record.values[1]);
    }
  }
  double area = 0;
  for (const double low : least) {
    area += (600 - low) / 600 / 31;
  }
  return area;
}

}  // namespace

TEST_CASE("Nsga2: asks for each path once", "[search]") {
  gatedpaths::test::check_asks_for_all(nsga2, 135);
}

TEST_CASE("Nsga2: is a function of seed, asks and tells", "[search][random]") {
  gatedpaths::test::check_is_a_function_of_the_seed(nsga2);
}

TEST_CASE("Nsga2: goes on exactly from what it saved", "[search][serialize]") {
  gatedpaths::test::check_goes_on_exactly(nsga2);
}

TEST_CASE("Nsga2: finds more of the front than random search", "[search]") {
  const auto layout = front_layout();
  Nsga2 strategy(layout, 7, SearchOptions().objectives(kTwo));
  RandomSearch random(layout, 7, SearchOptions().objectives(kTwo));
  const double of_random = front_area(random, 400);
  const double of_strategy = front_area(strategy, 400);
  CAPTURE(of_random);
  const double of_all = 0.763;  // by the cheapest way to each sum
  CHECK(of_all - of_strategy < 0.6 * (of_all - of_random));
}

TEST_CASE("Nsga2: children take each gate from a parent", "[search]") {
  const auto layout = front_layout();
  // The others were told first, and leave when these come.
  Nsga2 strategy(
      layout,
      7,
      SearchOptions().objectives(kTwo),
      Nsga2Options().population_size(2));
  const auto of = [&](int64_t branch) {
    return layout->make_path(
        [&](int64_t, auto& open) { open.push_back(branch); });
  };
  strategy.tell(of(1), {1, 9});
  strategy.tell(of(2), {1, 9});
  strategy.tell(of(0), {2, 1});
  strategy.tell(of(3), {3, 2});
  int64_t parents_genes = 0;
  int64_t all_genes = 0;
  for (const Path& path : strategy.ask(100)) {
    for (const auto& setting : path) {
      ++all_genes;
      parents_genes += setting.open[0] == 0 || setting.open[0] == 3 ? 1 : 0;
    }
  }
  // A gate changes with the chance of 1/10, two times of three to another one.
  CHECK(all_genes == 1000);
  CHECK(parents_genes > 850);
  CHECK(parents_genes < 990);
}

TEST_CASE("Nsga2: keeps to a budget", "[search]") {
  const auto layout = search_layout();
  const auto cost = gatedpaths::test::made_up_macs(
      layout, [](int64_t, int64_t branch) { return branch; });
  const CountedSpace space(Budget(cost, CostKind::kMacs, 3));
  Nsga2 strategy(
      layout,
      5,
      SearchOptions().objectives(kTwo).within(space),
      Nsga2Options().population_size(6));
  const auto texts = search_paths(strategy, 1000);
  CHECK(texts.size() == 45);
  for (const auto& text : texts) {
    CHECK(space.budget().admits(layout->parse(text)));
  }
}

TEST_CASE("Nsga2: refuses options outside of their ranges", "[search][error]") {
  const auto refusal = [](const Nsga2Options& options) {
    return message_of<c10::ValueError>(
        [&] { Nsga2(search_layout(), 5, SearchOptions(), options); });
  };
  CHECK(
      refusal(Nsga2Options().crossover(1.5)) ==
      "Nsga2: expected population_size of at least 1 and crossover in [0, 1], "
      "got 30 and 1.5");
  CHECK_THAT(
      refusal(Nsga2Options().population_size(0)),
      Catch::Matchers::EndsWith("got 0 and 0.9"));
}
