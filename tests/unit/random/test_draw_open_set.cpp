// SPDX-License-Identifier: MIT
#include "src/random/draw_open_set.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "support/catch.hpp"
#include "support/chi_square.hpp"

namespace {

using gatedpaths::detail::CounterRandom;
using gatedpaths::detail::draw_open_set;
using Set = std::vector<int64_t>;

// All allowed sets, by going through all subsets.
std::map<Set, size_t> all_sets(int64_t n, int64_t low, int64_t high) {
  std::map<Set, size_t> sets;
  for (uint64_t bits = 0; bits < uint64_t{1} << static_cast<unsigned>(n);
       ++bits) {
    Set set;
    for (int64_t i = 0; i < n; ++i) {
      if ((bits >> static_cast<unsigned>(i) & 1U) != 0) {
        set.push_back(i);
      }
    }
    const auto size = static_cast<int64_t>(set.size());
    if (low <= size && size <= high) {
      sets.emplace(set, sets.size());
    }
  }
  return sets;
}

Set draw(uint64_t step, int64_t n, int64_t low, int64_t high) {
  CounterRandom random(3, step, 0);
  Set open{99};  // is replaced
  draw_open_set(random, n, low, high, open);
  return open;
}

}  // namespace

TEST_CASE(
    "draw_open_set: each allowed set has the same probability",
    "[draw_open_set][random]") {
  const auto [n, low, high] = GENERATE(table<int64_t, int64_t, int64_t>(
      {{2, 1, 1},
       {5, 1, 1},
       {5, 2, 2},
       {5, 4, 4},
       {6, 3, 3},
       {3, 0, 1},
       {3, 0, 3},
       {4, 1, 4},
       {5, 2, 4},
       {6, 1, 2},
       {6, 5, 6}}));
  CAPTURE(n, low, high);
  const auto sets = all_sets(n, low, high);
  std::vector<int64_t> counts(sets.size());
  const auto draws = static_cast<uint64_t>(1000 * sets.size());
  for (uint64_t step = 0; step < draws; ++step) {
    const auto place = sets.find(draw(step, n, low, high));
    REQUIRE(place != sets.end());
    ++counts[place->second];
  }
  CHECK(gatedpaths::test::deviations_from_uniform(counts) < 4);
}

TEST_CASE(
    "draw_open_set: a single allowed set needs no luck",
    "[draw_open_set][random]") {
  CHECK(draw(0, 1, 1, 1) == Set{0});
  CHECK(draw(0, 3, 3, 3) == Set{0, 1, 2});
  CHECK(draw(0, 3, 0, 0).empty());
}

TEST_CASE(
    "draw_open_set: sets of thousands of branches are ascending and in bounds",
    "[draw_open_set][random]") {
  const auto [n, low, high] = GENERATE(table<int64_t, int64_t, int64_t>(
      {{4096, 1, 1},
       {4096, 63, 63},
       {4096, 64, 64},
       {4096, 4095, 4096},
       {5000, 0, 5000},
       {100000, 3, 700}}));
  CAPTURE(n, low, high);
  for (uint64_t step = 0; step < 50; ++step) {
    const Set open = draw(step, n, low, high);
    const auto size = static_cast<int64_t>(open.size());
    CHECK((low <= size && size <= high));
    CHECK(std::is_sorted(open.begin(), open.end(), std::less_equal<>()));
    CHECK((open.empty() || (0 <= open.front() && open.back() < n)));
  }
}

TEST_CASE(
    "draw_open_set: sizes follow the number of sets where that overflows",
    "[draw_open_set][random]") {
  // Any subset of n branches: sizes are binomial, mean n / 2, variance n / 4.
  constexpr int64_t kBranches = 4000;
  constexpr int kDraws = 2000;
  double sum = 0;
  double squares = 0;
  for (uint64_t step = 0; step < kDraws; ++step) {
    const auto open = draw(step, kBranches, 0, kBranches);
    const double off = static_cast<double>(open.size()) - kBranches / 2.0;
    sum += off;
    squares += off * off;
  }
  constexpr double kVariance = kBranches / 4.0;
  CHECK(std::abs(sum / kDraws) < 4 * std::sqrt(kVariance / kDraws));
  // The variance of a squared deviation is near 2 * variance^2.
  CHECK(
      std::abs(squares / kDraws - kVariance) <
      4 * kVariance * std::sqrt(2.0 / kDraws));
}

TEST_CASE(
    "draw_open_set: a size that is hardly ever drawn is drawn in its turn",
    "[draw_open_set][random]") {
  // One of 2^25 branches, or none: none is 1 set of 2^25 + 1.
  constexpr int64_t kBranches = int64_t{1} << 25;
  constexpr uint64_t kRareStep = 21810899;  // by search
  REQUIRE(CounterRandom(3, kRareStep, 0).uniform() > 1 - 0x1p-25);
  CHECK(draw(kRareStep, kBranches, 0, 1).empty());
  CHECK(draw(kRareStep + 1, kBranches, 0, 1).size() == 1);
}

TEST_CASE(
    "draw_open_set: large sets hold each branch equally often",
    "[draw_open_set][random]") {
  // Dense and sparse draws differ in how they remember what is taken.
  const auto [n, size] =
      GENERATE(table<int64_t, int64_t>({{50, 7}, {700, 9}, {640, 100}}));
  CAPTURE(n, size);
  constexpr int kDraws = 4000;
  std::vector<double> counts(static_cast<size_t>(n));
  for (uint64_t step = 0; step < kDraws; ++step) {
    for (const int64_t branch : draw(step, n, size, size)) {
      ++counts[static_cast<size_t>(branch)];
    }
  }
  const double rate = static_cast<double>(size) / static_cast<double>(n);
  const double sd = std::sqrt(kDraws * rate * (1 - rate));
  for (const double count : counts) {
    CHECK(std::abs(count - kDraws * rate) < 5 * sd);  // hundreds of looks
  }
}
