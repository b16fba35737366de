// SPDX-License-Identifier: MIT
#include <cstddef>
#include <limits>
#include <vector>

#include "src/search/pareto_fronts.hpp"
#include "support/catch.hpp"

using gatedpaths::detail::crowding_distances;
using gatedpaths::detail::dominates;
using gatedpaths::detail::pareto_fronts;
using gatedpaths::detail::ScoreTable;

TEST_CASE("pareto_fronts: sorts by who beats whom", "[search]") {
  CHECK(dominates({1, 2}, {1, 1}));
  CHECK_FALSE(dominates({1, 2}, {1, 2}));
  CHECK_FALSE(dominates({1, 2}, {2, 1}));
  const ScoreTable scores{
      {1, 5}, {0, 0}, {5, 1}, {3, 3}, {3, 3}, {2, 2}, {1, 1}, {4, 0}};
  CHECK(
      pareto_fronts(scores) ==
      std::vector<std::vector<size_t>>{{0, 2, 3, 4}, {5, 7}, {6}, {1}});
  CHECK(pareto_fronts({}).empty());
}

TEST_CASE(
    "pareto_fronts: crowding is the room between neighbours", "[search]") {
  const double infinite = std::numeric_limits<double>::infinity();
  const ScoreTable scores{{0, 10}, {9, 9}, {2, 8}, {6, 4}, {10, 0}};
  CHECK(
      crowding_distances(scores, {0, 2, 3, 4}) ==
      std::vector{infinite, 0.6 + 0.6, 0.8 + 0.8, infinite});
  CHECK(crowding_distances(scores, {1}) == std::vector{infinite});
  CHECK(
      crowding_distances({{1, 1}, {1, 1}, {1, 1}}, {0, 1, 2}) ==
      std::vector{infinite, 0.0, infinite});
  CHECK(crowding_distances(scores, {}).empty());
}
