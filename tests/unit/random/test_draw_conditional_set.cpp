// SPDX-License-Identifier: MIT
#include "src/random/draw_conditional_set.hpp"

#include <algorithm>
#include <map>
#include <numeric>

#include "support/catch.hpp"
#include "support/chi_square.hpp"
#include "support/errors.hpp"

namespace {

using gatedpaths::detail::ConditionalSets;
using gatedpaths::detail::CounterRandom;
using gatedpaths::detail::draw_conditional_set;
using gatedpaths::test::message_of;
using OpenSet = std::vector<int64_t>;
using Chances = std::vector<double>;

OpenSet drawn_set(
    uint64_t step, const Chances& probabilities, int64_t low, int64_t high) {
  CounterRandom random(3, step, 0);
  OpenSet open{99};  // is replaced
  draw_conditional_set(random, probabilities, low, high, open);
  return open;
}

// The law by its definition: all subsets, each as likely as independent draws
// make it, and those outside of the bounds struck out.
std::map<OpenSet, double> conditional_law(
    const Chances& probabilities, int64_t low, int64_t high) {
  std::map<OpenSet, double> law;
  double total = 0;
  for (uint64_t bits = 0; bits < uint64_t{1} << probabilities.size(); ++bits) {
    OpenSet set;
    double probability = 1;
    for (size_t i = 0; i < probabilities.size(); ++i) {
      const bool is_open = (bits >> i & 1U) != 0;
      probability *= is_open ? probabilities[i] : 1 - probabilities[i];
      if (is_open) {
        set.push_back(static_cast<int64_t>(i));
      }
    }
    const auto size = static_cast<int64_t>(set.size());
    if (low <= size && size <= high && probability > 0) {
      law[set] = probability;
      total += probability;
    }
  }
  for (auto& entry : law) {
    entry.second /= total;
  }
  return law;
}

double deviations_from_law(
    const Chances& probabilities, int64_t low, int64_t high, uint64_t draws) {
  std::map<OpenSet, int64_t> seen;
  for (uint64_t step = 0; step < draws; ++step) {
    ++seen[drawn_set(step, probabilities, low, high)];
  }
  Chances expected;
  std::vector<int64_t> counts;
  for (const auto& [set, probability] :
       conditional_law(probabilities, low, high)) {
    expected.push_back(probability);
    counts.push_back(seen[set]);
  }
  // No set outside of the law was drawn.
  REQUIRE(
      std::accumulate(counts.begin(), counts.end(), int64_t{0}) ==
      static_cast<int64_t>(draws));
  return gatedpaths::test::deviations(counts, expected);
}

}  // namespace

TEST_CASE(
    "draw_conditional_set: the law is that of independent draws within bounds",
    "[draw_conditional_set][random]") {
  const Chances mixed{0.1, 0.5, 0.8, 0.35};
  const auto [low, high] = GENERATE(table<int64_t, int64_t>(
      {{0, 4},
       {1, 1},
       {2, 2},
       {3, 3},
       {0, 1},
       {0, 2},
       {1, 2},
       {1, 4},
       {3, 4},
       {1, 3}}));
  CAPTURE(low, high);
  CHECK(deviations_from_law(mixed, low, high, 6000) < 4);
}

TEST_CASE(
    "draw_conditional_set: 0 closes and 1 opens, whatever the others do",
    "[draw_conditional_set][random]") {
  const Chances mixed{0.3, 1, 0, 0.6, 0.2, 1};
  const auto [low, high] = GENERATE(table<int64_t, int64_t>(
      {{0, 6}, {2, 3}, {3, 3}, {3, 4}, {1, 6}, {4, 4}}));
  CAPTURE(low, high);
  CHECK(deviations_from_law(mixed, low, high, 3000) < 4);
}

TEST_CASE(
    "draw_conditional_set: a single possible set needs no luck",
    "[draw_conditional_set][random]") {
  CHECK(drawn_set(0, {0.5}, 1, 1) == OpenSet{0});
  CHECK(drawn_set(0, {0.5, 0.1}, 2, 2) == OpenSet{0, 1});
  CHECK(drawn_set(0, {0.5, 0.1}, 0, 0).empty());
  CHECK(drawn_set(0, {1, 0, 0.9, 0.1}, 1, 1) == OpenSet{0});
  CHECK(drawn_set(0, {0.2, 1, 0, 0.1}, 3, 4) == OpenSet{0, 1, 3});
  CHECK(drawn_set(0, {0, 0}, 0, 2).empty());
  CHECK(drawn_set(0, {1, 1}, 0, 2) == OpenSet{0, 1});
  CHECK(drawn_set(0, {}, 0, 0).empty());
}

TEST_CASE(
    "draw_conditional_set: chances of any size neither over- nor underflow",
    "[draw_conditional_set][random]") {
  SECTION("equal chances far below the bounds: all sets are as likely") {
    // The independent draws would open two branches once in 1e600 times.
    std::vector<int64_t> counts(4);
    for (uint64_t step = 0; step < 4000; ++step) {
      const OpenSet open = drawn_set(step, Chances(4, 1e-300), 2, 3);
      REQUIRE(open.size() == 2);
      ++counts[static_cast<size_t>(open[0])];
    }
    counts.pop_back();
    CHECK(
        gatedpaths::test::deviations(counts, {3.0 / 6, 2.0 / 6, 1.0 / 6}) < 4);
  }
  SECTION("half of a thousand branches, each one unlikely") {
    const Chances unlikely(1000, 1e-200);
    Chances odds;
    for (const double p : unlikely) {
      odds.push_back(gatedpaths::detail::odds_of(p));
    }
    const ConditionalSets sets(odds, 500, 600);
    constexpr uint64_t kDraws = 300;
    double first_half = 0;
    for (uint64_t step = 0; step < kDraws; ++step) {
      CounterRandom random(3, step, 0);
      OpenSet open;
      sets.draw(random, open);
      REQUIRE(open.size() == 500);
      REQUIRE(std::is_sorted(open.begin(), open.end(), std::less_equal<>()));
      first_half += static_cast<double>(
          std::lower_bound(open.begin(), open.end(), 500) - open.begin());
    }
    // Hypergeometric: mean 250, variance 500 * (1/2) * (1/2) * 500 / 999.
    const double sd = std::sqrt(62.56 / kDraws);
    CHECK(std::abs(first_half / kDraws - 250) < 4 * sd);
  }
  SECTION("odds at both ends of the range of double") {
    const Chances odds{1e-308, 1.7e308, 1.7e308, 5e-324};
    std::vector<int64_t> counts(2);
    for (uint64_t step = 0; step < 1000; ++step) {
      CounterRandom random(3, step, 0);
      OpenSet open;
      ConditionalSets(odds, 1, 1).draw(random, open);
      ++counts.at(static_cast<size_t>(open.at(0) - 1));
      ConditionalSets(odds, 2, 3).draw(random, open);
      REQUIRE(open == OpenSet{1, 2});
      ConditionalSets(odds, 0, 4).draw(random, open);
      REQUIRE(open == OpenSet{1, 2});
      ConditionalSets(odds, 3, 4).draw(random, open);
      REQUIRE(open == OpenSet{0, 1, 2});
    }
    CHECK(gatedpaths::test::deviations_from_uniform(counts) < 4);
  }
}

TEST_CASE(
    "draw_conditional_set: within void bounds each branch is independent",
    "[draw_conditional_set][random]") {
  // One number for each branch, open below its probability.
  Chances probabilities;
  for (int i = 0; i < 2000; ++i) {
    probabilities.push_back((i % 16 + 0.5) / 16);
  }
  for (uint64_t step = 0; step < 5; ++step) {
    CounterRandom random(3, step, 0);
    OpenSet expected;
    for (size_t i = 0; i < probabilities.size(); ++i) {
      if (random.uniform() < probabilities[i]) {
        expected.push_back(static_cast<int64_t>(i));
      }
    }
    CHECK(drawn_set(step, probabilities, 0, 2000) == expected);
  }
}

TEST_CASE(
    "draw_conditional_set: says which probabilities are wrong",
    "[draw_conditional_set][error]") {
  const auto message =
      [](const Chances& probabilities, int64_t low, int64_t high) {
        return message_of<c10::ValueError>(
            [&] { drawn_set(0, probabilities, low, high); });
      };
  CHECK(
      message({0.5, 1.5}, 0, 2) ==
      "draw_conditional_set: expected probabilities in [0, 1], got 1.5 for "
      "branch 1");
  CHECK(
      message({-0.5}, 0, 1) ==
      "draw_conditional_set: expected probabilities in [0, 1], got -0.5 for "
      "branch 0");
  CHECK(
      message({0.5, std::nan("")}, 0, 1) ==
      "draw_conditional_set: expected probabilities in [0, 1], got nan for "
      "branch 1");
  CHECK(
      message({0, 0.5, 0}, 2, 3) ==
      "draw_conditional_set: expected probabilities that allow 2 to 3 open "
      "branches of 3, got 2 that are 0 and 0 that are 1");
  CHECK(
      message({1, 0.5, 1}, 0, 1) ==
      "draw_conditional_set: expected probabilities that allow 0 to 1 open "
      "branches of 3, got 0 that are 0 and 2 that are 1");
}
