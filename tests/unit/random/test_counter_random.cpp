// SPDX-License-Identifier: MIT
#include "src/random/counter_random.hpp"

#include "support/catch.hpp"
#include "support/chi_square.hpp"

using gatedpaths::detail::CounterRandom;

TEST_CASE(
    "CounterRandom: gives the published numbers of Philox4x32-10",
    "[counter_random][random]") {
  // Random123's known-answer file: philox 4x32 10.
  SECTION("key 0, counter 0") {
    CounterRandom random(0, 0, 0);
    CHECK(random.bits() == 0x6627e8d5);
    CHECK(random.bits() == 0xe169c58d);
    CHECK(random.bits() == 0xbc57ac4c);
    CHECK(random.bits() == 0x9b00dbd8);
  }
  SECTION("key 299f31d0a4093822, counter 0370734413198a2e85a308d3243f6a88") {
    // The counter's lowest word is where in the gate's numbers we are: too far
    // in to walk there, so the engine is set.
    at::Philox4_32 engine(0x299f31d0a4093822, 0x0370734413198a2e, 0);
    engine.set_offset(0x85a308d3243f6a88);
    CHECK(engine() == 0xd16cfe09);
    CHECK(engine() == 0x94fdcceb);
    CHECK(engine() == 0x5001e420);
    CHECK(engine() == 0x24126ea1);
  }
}

TEST_CASE(
    "CounterRandom: is a function of seed, step and gate",
    "[counter_random][random]") {
  const uint64_t first = CounterRandom(1, 2, 3).bits64();
  CHECK(CounterRandom(1, 2, 3).bits64() == first);
  CHECK(CounterRandom(2, 2, 3).bits64() != first);
  CHECK(CounterRandom(1, 3, 3).bits64() != first);
  CHECK(CounterRandom(1, 2, 4).bits64() != first);
  // The upper halves count.
  constexpr uint64_t kHigh = uint64_t{1} << 40U;
  CHECK(CounterRandom(1 + kHigh, 2, 3).bits64() != first);
  CHECK(CounterRandom(1, 2 + kHigh, 3).bits64() != first);
}

TEST_CASE(
    "CounterRandom: bounded integers are uniform", "[counter_random][random]") {
  const auto bound =
      GENERATE(uint64_t{2}, uint64_t{3}, uint64_t{7}, uint64_t{10});
  CounterRandom random(11, 0, bound);
  std::vector<int64_t> counts(bound);
  for (int i = 0; i < 20000; ++i) {
    ++counts[random.below(bound)];
  }
  CAPTURE(counts);
  CHECK(gatedpaths::test::deviations_from_uniform(counts) < 4);
}

TEST_CASE(
    "CounterRandom: bounded integers hold near 2^64 too",
    "[counter_random][random]") {
  constexpr uint64_t kBound = (uint64_t{1} << 63U) + 1;  // rejects half
  CounterRandom random(5, 0, 0);
  double mean = 0;
  constexpr int kDraws = 10000;
  for (int i = 0; i < kDraws; ++i) {
    const uint64_t value = random.below(kBound);
    REQUIRE(value < kBound);
    mean += static_cast<double>(value) / static_cast<double>(kBound) / kDraws;
  }
  CHECK(std::abs(mean - 0.5) < 4 / std::sqrt(12.0 * kDraws));
  CHECK(random.below(1) == 0);
}

TEST_CASE(
    "CounterRandom: uniform numbers lie from 0 to below 1",
    "[counter_random][random]") {
  CounterRandom random(6, 0, 0);
  std::vector<int64_t> counts(16);
  for (int i = 0; i < 20000; ++i) {
    const double value = random.uniform();
    REQUIRE(value >= 0);
    REQUIRE(value < 1);
    ++counts[static_cast<size_t>(value * 16)];
  }
  CHECK(gatedpaths::test::deviations_from_uniform(counts) < 4);
}
