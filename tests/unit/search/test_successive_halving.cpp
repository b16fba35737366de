// SPDX-License-Identifier: MIT
#include <gatedpaths/search/successive_halving.hpp>

#include <gatedpaths/search/search_history.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/costs.hpp"
#include "support/errors.hpp"
#include "support/strategies.hpp"

using gatedpaths::Budget;
using gatedpaths::CostKind;
using gatedpaths::CountedSpace;
using gatedpaths::Direction;
using gatedpaths::Path;
using gatedpaths::SearchHistory;
using gatedpaths::SearchOptions;
using gatedpaths::SuccessiveHalving;
using gatedpaths::SuccessiveHalvingOptions;
using gatedpaths::test::message_of;
using gatedpaths::test::search_layout;
using gatedpaths::test::search_paths;
using gatedpaths::test::search_value;

namespace {

SuccessiveHalvingOptions up_to(int64_t length, int64_t reduction = 3) {
  return SuccessiveHalvingOptions().max_length(length).reduction(reduction);
}

std::unique_ptr<gatedpaths::SearchStrategy> halving(uint64_t seed) {
  return std::make_unique<SuccessiveHalving>(
      search_layout(), seed, SearchOptions(), up_to(9));
}

}  // namespace

TEST_CASE("SuccessiveHalving: has a rung for each length", "[search]") {
  const auto lengths = [](int64_t least, int64_t most, int64_t reduction) {
    return SuccessiveHalving(
               search_layout(),
               5,
               SearchOptions(),
               SuccessiveHalvingOptions()
                   .min_length(least)
                   .max_length(most)
                   .reduction(reduction))
        .lengths();
  };
  CHECK(lengths(1, 27, 3) == std::vector<int64_t>{1, 3, 9, 27});
  CHECK(lengths(5, 79, 2) == std::vector<int64_t>{5, 10, 20, 40});
  CHECK(lengths(7, 7, 4) == std::vector<int64_t>{7});
  const int64_t huge = int64_t{1} << 62;
  CHECK(lengths(huge, huge + 1, 2) == std::vector<int64_t>{huge});
}

TEST_CASE("SuccessiveHalving: trains the best third on", "[search]") {
  SuccessiveHalving strategy(search_layout(), 5, SearchOptions(), up_to(9));
  const auto first = strategy.ask(9);
  for (size_t i = 0; i < 9; ++i) {
    CHECK(strategy.length(first[i]) == 1);
    strategy.tell(first[i], {static_cast<double>(i % 5)});
  }
  // Values 0 1 2 3 4 0 1 2 3: the first three, of equal ones what came first.
  const auto second = strategy.ask(3);
  CHECK((second == std::vector{first[4], first[3], first[8]}));
  for (const Path& path : second) {
    CHECK(strategy.length(path) == 3);
  }
  const auto fresh = strategy.ask()[0];
  CHECK(strategy.length(fresh) == 1);
  CHECK(strategy.ask_number(fresh) == 13);
  strategy.tell(second[0], {1});
  strategy.tell(second[1], {7});
  CHECK(strategy.length(strategy.ask()[0]) == 1);  // two of a rung of three
  strategy.tell(second[2], {6});
  CHECK((strategy.ask() == std::vector{second[1]}));
  CHECK(strategy.length(second[1]) == 9);
  strategy.tell(second[1], {9});
  CHECK(strategy.length(strategy.ask()[0]) == 1);  // there is no more above
}

TEST_CASE("SuccessiveHalving: what has failed goes no further", "[search]") {
  SuccessiveHalving strategy(
      search_layout(),
      5,
      SearchOptions().objectives({{"loss", Direction::kMinimize}}),
      up_to(4, 2));
  const auto first = strategy.ask(4);
  strategy.tell_failure(first[0]);
  strategy.tell(first[1], {3});
  strategy.tell(first[2], {2});
  const auto second = strategy.ask()[0];
  CHECK(second == first[2]);
  CHECK(strategy.length(second) == 2);
  strategy.tell_failure(second);
  strategy.tell(first[3], {9});
  CHECK(strategy.length(strategy.ask()[0]) == 1);
}

TEST_CASE("SuccessiveHalving: takes in what it did not ask for", "[search]") {
  const auto layout = search_layout();
  const auto cost = gatedpaths::test::made_up_macs(
      layout, [](int64_t, int64_t branch) { return branch; });
  const CountedSpace space(Budget(cost, CostKind::kMacs, 3));
  SuccessiveHalving strategy(
      layout, 5, SearchOptions().within(space), up_to(4, 2));
  const auto outside = layout->parse("a=2;b=2;c=2;d=2");
  const auto inside = layout->parse("a=1;b=1;c=1;d=0");
  strategy.tell(outside, {9});
  strategy.tell(inside, {8});
  strategy.tell(layout->parse("a=1;b=0;c=1;d=0"), {1});
  strategy.tell(layout->parse("a=1;b=0;c=0;d=0"), {1});
  CHECK(strategy.length(inside) == 1);
  CHECK((strategy.ask() == std::vector{inside}));
  CHECK(strategy.length(inside) == 2);
}

TEST_CASE("SuccessiveHalving: asks for each path of a space", "[search]") {
  SuccessiveHalving strategy(search_layout(), 5, SearchOptions(), up_to(9));
  std::map<std::string, int64_t> longest;
  int64_t asks = 0;
  for (auto paths = strategy.ask(); !paths.empty(); paths = strategy.ask()) {
    ++asks;
    const int64_t length = strategy.length(paths[0]);
    int64_t& before = longest[search_layout()->to_string(paths[0])];
    CHECK(length == (before == 0 ? 1 : 3 * before));
    before = length;
    strategy.tell(paths[0], {search_value(paths[0])});
  }
  CHECK(longest.size() == 135);
  CHECK(strategy.exhausted());
  // A third of the rung below at least; some more were among them early on.
  CHECK(asks >= 135 + 45 + 15);
  CHECK(asks <= 135 + 65 + 25);
}

TEST_CASE(
    "SuccessiveHalving: is a function of seed, asks and tells",
    "[search][random]") {
  gatedpaths::test::check_is_a_function_of_the_seed(halving);
}

TEST_CASE(
    "SuccessiveHalving: goes on exactly from what it saved",
    "[search][serialize]") {
  gatedpaths::test::check_goes_on_exactly(halving);
}

TEST_CASE("SuccessiveHalving: goes on exactly from its history", "[search]") {
  SearchHistory history(search_layout());
  SuccessiveHalving whole(search_layout(), 5, SearchOptions(), up_to(9));
  for (int i = 0; i < 40; ++i) {
    const auto path = whole.ask()[0];
    history.tell(
        whole,
        {.path = path,
         .values = {search_value(path)},
         .length = whole.length(path)});
  }
  SuccessiveHalving resumed(search_layout(), 5, SearchOptions(), up_to(9));
  history.replay(resumed);
  CHECK(search_paths(resumed, 60) == search_paths(whole, 60));
}

TEST_CASE(
    "SuccessiveHalving: refuses lengths that are none", "[search][error]") {
  CHECK(
      message_of<c10::ValueError>([] {
        SuccessiveHalving(search_layout(), 5, SearchOptions(), up_to(0));
      }) ==
      "SuccessiveHalving: expected 1 <= min_length <= max_length and reduction "
      "of at least 2, got 1, 0 and 3");
  CHECK_THAT(
      message_of<c10::ValueError>([] {
        SuccessiveHalving(search_layout(), 5, SearchOptions(), up_to(9, 1));
      }),
      Catch::Matchers::EndsWith("got 1, 9 and 1"));
}
