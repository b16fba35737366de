// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/stream_seed.hpp>

#include <bit>
#include <cstdint>
#include <limits>
#include <set>
#include <string>

#include "support/catch.hpp"

using gatedpaths::stream_seed;

TEST_CASE("stream_seed: is the same in every process", "[stream_seed]") {
  CHECK(stream_seed(0, "") == 0x20950cd7f52d3973U);
  CHECK(stream_seed(7, "UniformSampler") == 0xa434a8d970d0025eU);
  CHECK(
      stream_seed(std::numeric_limits<uint64_t>::max(), "blocks.3.choice") ==
      0x1d4b874ad3ec2f45U);
}

TEST_CASE(
    "stream_seed: seeds and names near each other are far apart",
    "[stream_seed][random]") {
  std::set<uint64_t> seen;
  int64_t changed_bits = 0;
  int64_t pairs = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    for (int number = 0; number < 100; ++number) {
      const auto name = "blocks." + std::to_string(number);
      const uint64_t here = stream_seed(seed, name);
      seen.insert(here);
      changed_bits += std::popcount(here ^ stream_seed(seed + 1, name));
      changed_bits += std::popcount(
          here ^ stream_seed(seed, "blocks." + std::to_string(number + 1)));
      pairs += 2;
    }
  }
  CHECK(seen.size() == 100 * 100);
  // Half of the 64, with a standard deviation of 4 a pair.
  const double mean =
      static_cast<double>(changed_bits) / static_cast<double>(pairs);
  CHECK(mean == Catch::Approx(32).margin(0.2));
}

TEST_CASE(
    "stream_seed: two names in turn are not one of both together",
    "[stream_seed]") {
  const auto twice = [](const char* first, const char* second) {
    return stream_seed(stream_seed(7, first), second);
  };
  CHECK(twice("a", "b") != stream_seed(7, "ab"));
  CHECK(twice("a", "b") != twice("b", "a"));
  CHECK(twice("gate", "x") != twice("gatex", ""));
  CHECK(twice("", "") != stream_seed(7, ""));
  CHECK(stream_seed(7, "") != 7);
  CHECK(stream_seed(7, std::string("a\0b", 3)) != stream_seed(7, "a"));
}
