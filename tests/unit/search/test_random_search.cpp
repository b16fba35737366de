// SPDX-License-Identifier: MIT
#include <gatedpaths/search/random_search.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/chi_square.hpp"
#include "support/costs.hpp"
#include "support/errors.hpp"
#include "support/samplers.hpp"
#include "support/strategies.hpp"

using gatedpaths::Budget;
using gatedpaths::CostKind;
using gatedpaths::CountedSpace;
using gatedpaths::Direction;
using gatedpaths::Path;
using gatedpaths::RandomSearch;
using gatedpaths::SearchOptions;
using gatedpaths::SpaceLayout;
using gatedpaths::test::made_up_macs;
using gatedpaths::test::message_of;
using gatedpaths::test::numbered_gate;
using gatedpaths::test::save_and_load;
using gatedpaths::test::search_layout;
using gatedpaths::test::shared_layout;

namespace {

std::unique_ptr<gatedpaths::SearchStrategy> random_search(uint64_t seed) {
  return std::make_unique<RandomSearch>(search_layout(), seed);
}

// Of the branches' numbers, at most `at_most`.
CountedSpace within_macs(
    const std::shared_ptr<const SpaceLayout>& layout, double at_most) {
  const auto cost =
      made_up_macs(layout, [](int64_t, int64_t branch) { return branch; });
  return CountedSpace(Budget(cost, CostKind::kMacs, at_most));
}

std::string told_values(c10::ArrayRef<double> values) {
  RandomSearch strategy(
      search_layout(),
      1,
      SearchOptions().objectives(
          {{"accuracy"}, {"macs", Direction::kMinimize}}));
  const auto path = strategy.ask()[0];
  const auto message =
      message_of<c10::ValueError>([&] { strategy.tell(path, values); });
  CHECK(strategy.told() == 0);
  CHECK((strategy.pending() == std::vector{path}));
  return message;
}

}  // namespace

TEST_CASE("RandomSearch: asks for each path once", "[search][random]") {
  gatedpaths::test::check_asks_for_all(random_search, 135);
}

TEST_CASE(
    "RandomSearch: is a function of seed, asks and tells", "[search][random]") {
  gatedpaths::test::check_is_a_function_of_the_seed(random_search);
}

TEST_CASE(
    "RandomSearch: goes on exactly from what it saved", "[search][serialize]") {
  gatedpaths::test::check_goes_on_exactly(random_search);
}

TEST_CASE("RandomSearch: draws uniformly over paths", "[search][random]") {
  const auto layout = search_layout();
  RandomSearch strategy(layout, 3, SearchOptions().repeats(true));
  std::unordered_map<Path, size_t> number;
  for (uint64_t i = 0; i < layout->size(); ++i) {
    number.emplace(layout->at(i), i);
  }
  std::vector<int64_t> counts(layout->size());
  for (const Path& path : strategy.ask(40 * 135)) {
    ++counts[number.at(path)];
  }
  CHECK(std::abs(gatedpaths::test::deviations_from_uniform(counts)) < 4);
}

TEST_CASE("RandomSearch: keeps to a budget", "[search]") {
  const auto layout = search_layout();
  const auto space = within_macs(layout, 3);
  REQUIRE(space.size() == 45);
  RandomSearch strategy(layout, 5, SearchOptions().within(space));
  for (const Path& path : strategy.ask(1000)) {
    CHECK(space.budget().admits(path));
  }
  CHECK(strategy.asked() == 45);
  CHECK(strategy.exhausted());
}

TEST_CASE("RandomSearch: is exhausted after the only path", "[search]") {
  const auto layout = search_layout();
  RandomSearch strategy(
      layout, 5, SearchOptions().within(within_macs(layout, 0)));
  CHECK_FALSE(strategy.exhausted());
  REQUIRE(strategy.ask(4).size() == 1);
  CHECK(strategy.exhausted());
  CHECK(strategy.ask().empty());
  CHECK(layout->to_string(strategy.pending()[0]) == "a=0;a.in=0;b=0;c=0;d=0");
}

TEST_CASE(
    "RandomSearch: finds all of a space that is not counted", "[search]") {
  // The second gate lies in both branches of the first.
  const auto layout = shared_layout(
      {numbered_gate("a", 2, 0, 2),
       numbered_gate("in", 4, 1, 2, {{0, 0}, {0, 1}})});
  gatedpaths::test::check_asks_for_all(
      [&](uint64_t seed) {
        return std::make_unique<RandomSearch>(layout, seed);
      },
      1 + 3 * 10);
}

TEST_CASE("RandomSearch: draws from more than 2^64 paths", "[search]") {
  std::vector<gatedpaths::GateLayout> gates;
  for (int i = 0; i < 70; ++i) {
    gates.push_back(numbered_gate("g" + std::to_string(i), 8, 1, 1));
  }
  const auto layout = shared_layout(std::move(gates));
  const auto space = within_macs(layout, 240);
  for (const auto& within : {std::optional<CountedSpace>(), {space}}) {
    RandomSearch strategy(layout, 5, SearchOptions().within(within));
    const auto paths = strategy.ask(50);
    CHECK(std::unordered_set(paths.begin(), paths.end()).size() == 50);
    for (const Path& path : paths) {
      CHECK((!within || space.budget().admits(path)));
    }
  }
}

TEST_CASE("RandomSearch: takes in what it did not ask for", "[search]") {
  const auto layout = search_layout();
  const auto space = within_macs(layout, 3);
  RandomSearch strategy(layout, 5, SearchOptions().within(space));
  const auto inside = layout->parse("a=0;a.in=0;b=1;c=1;d=0");
  const auto outside = layout->parse("a=2;b=2;c=2;d=2");
  strategy.tell(inside, {1});
  strategy.tell(outside, {3});
  strategy.tell_failure(outside);
  CHECK(strategy.told() == 3);
  CHECK(strategy.failures() == 1);
  CHECK(strategy.pending().empty());
  const auto paths = strategy.ask(100);
  CHECK(paths.size() == 44);
  CHECK(std::find(paths.begin(), paths.end(), inside) == paths.end());
}

TEST_CASE("SearchStrategy: refuses values that are none", "[search][error]") {
  CHECK(
      told_values({0.5}) ==
      "RandomSearch::tell: expected 2 values (maximize accuracy and minimize "
      "macs), got 1");
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THAT(
      told_values({0.5, nan}),
      Catch::Matchers::StartsWith(
          "RandomSearch::tell: expected finite values, got nan for 'macs' of "
          "a=") &&
          Catch::Matchers::EndsWith("; tell_failure tells that a path has "
                                    "none"));
  CHECK_THAT(
      told_values({std::numeric_limits<double>::infinity(), 1}),
      Catch::Matchers::ContainsSubstring("got inf for 'accuracy'"));
}

TEST_CASE(
    "SearchStrategy: refuses what is of another space", "[search][error]") {
  const auto layout = search_layout();
  const auto other = shared_layout({numbered_gate("a", 3, 1, 1)});
  RandomSearch strategy(layout, 5);
  const std::string hashes = fmt::format(
      "of space {:#018x}, got one of space {:#018x}",
      layout->hash(),
      other->hash());
  CHECK(message_of<c10::ValueError>([&] {
          strategy.tell(other->at(0), {1});
        }) == "RandomSearch::tell: expected a path " + hashes);
  CHECK(message_of<c10::ValueError>([&] {
          strategy.tell_failure(other->at(0));
        }) == "RandomSearch::tell_failure: expected a path " + hashes);
  CHECK(message_of<c10::ValueError>([&] {
          RandomSearch(
              layout, 5, SearchOptions().within(within_macs(other, 1)));
        }) == "RandomSearch: expected a budget " + hashes);
  CHECK(message_of<c10::ValueError>([] {
          RandomSearch(nullptr, 5);
        }) == "RandomSearch: expected a space, got a null pointer");
  CHECK(message_of<c10::ValueError>([&] {
          RandomSearch(layout, 5, SearchOptions().objectives({}));
        }) == "RandomSearch: expected at least 1 objective, got none");
  CHECK(message_of<c10::ValueError>([&] {
          strategy.ask(0);
        }) == "RandomSearch::ask: expected at least 1 path, got 0");
}

TEST_CASE("SearchStrategy: loads its own states alone", "[search][error]") {
  const auto layout = search_layout();
  RandomSearch strategy(layout, 5);
  const auto before = strategy.ask(2);
  RandomSearch repeats(layout, 5, SearchOptions().repeats(true));
  CHECK(
      message_of<c10::ValueError>([&] { save_and_load(repeats, strategy); }) ==
      "RandomSearch::load: expected the state of "
      "RandomSearch(objectives=maximize value, within=all, repeats=false), got "
      "that of RandomSearch(objectives=maximize value, within=all, "
      "repeats=true)");
  RandomSearch elsewhere(shared_layout({numbered_gate("a", 3, 1, 1)}), 5);
  CHECK_THAT(
      message_of<c10::ValueError>([&] { save_and_load(elsewhere, strategy); }),
      Catch::Matchers::StartsWith("RandomSearch::load: expected a state for "
                                  "the space with the hash"));
  CHECK((strategy.pending() == before));

  std::stringstream stream;
  torch::serialize::OutputArchive out;
  out.write("strategy", c10::IValue(strategy.text()));
  out.save_to(stream);
  torch::serialize::InputArchive in;
  in.load_from(stream);
  CHECK(
      message_of<c10::ValueError>([&] { strategy.load(in); }) ==
      "RandomSearch::load: expected an archive with 'space', got one without");
  CHECK((strategy.pending() == before));
}

TEST_CASE("SearchStrategy: two budgets are two states", "[search][serialize]") {
  const auto layout = search_layout();
  const auto of = [&](double at_most) {
    return SearchOptions().within(within_macs(layout, at_most));
  };
  CHECK(
      RandomSearch(layout, 5, of(3)).text() ==
      RandomSearch(layout, 6, of(3)).text());
  CHECK(
      RandomSearch(layout, 5, of(3)).text() !=
      RandomSearch(layout, 5, of(4)).text());
  CHECK_THAT(
      RandomSearch(layout, 5, of(3)).text(),
      Catch::Matchers::ContainsSubstring("within=macs of at most 3 ("));
}
