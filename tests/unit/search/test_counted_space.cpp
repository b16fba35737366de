// SPDX-License-Identifier: MIT
#include <gatedpaths/search/budget.hpp>
#include <gatedpaths/search/counted_space.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/costs.hpp"
#include "support/errors.hpp"
#include "support/samplers.hpp"

using gatedpaths::Budget;
using gatedpaths::CostKind;
using gatedpaths::CostModel;
using gatedpaths::CountedSpace;
using gatedpaths::CountedSpaceOptions;
using gatedpaths::PathCost;
using gatedpaths::SpaceLayout;
using gatedpaths::test::made_up_costs;
using gatedpaths::test::made_up_macs;
using gatedpaths::test::message_of;
using gatedpaths::test::numbered_gate;
using gatedpaths::test::shared_layout;

namespace {

using Layout = std::shared_ptr<const SpaceLayout>;

// One of one, none or one, some of many; nested twice.
Layout varied_layout() {
  return shared_layout(
      {numbered_gate("a", 3, 1, 1),
       numbered_gate("a.in", 3, 1, 1, {{0, 1}}),
       numbered_gate("a.in.in", 2, 0, 1, {{1, 2}}),
       numbered_gate("b", 4, 1, 3),
       numbered_gate("b.in", 2, 1, 1, {{3, 2}}),
       numbered_gate("c", 2, 0, 1),
       numbered_gate("d", 3, 2, 2)});
}

int64_t varied_macs(int64_t gate, int64_t branch) {
  return 7 * gate + (branch * branch * 13 + gate * 5) % 31 - 6;
}

std::set<std::string> within(const Layout& layout, const Budget& budget) {
  std::set<std::string> texts;
  for (uint64_t i = 0; i < layout->size(); ++i) {
    const auto path = layout->at(i);
    if (budget.admits(path)) {
      texts.insert(layout->to_string(path));
    }
  }
  return texts;
}

// What a third of all paths cost more than.
double exceeded_by_a_third(const CostModel& cost, CostKind kind) {
  std::vector<double> costs;
  for (uint64_t i = 0; i < cost.layout()->size(); ++i) {
    costs.push_back(cost.of(cost.layout()->at(i)).of(kind));
  }
  std::sort(costs.begin(), costs.end());
  return costs[costs.size() * 2 / 3];
}

std::set<std::string> listed_paths(const CountedSpace& space) {
  std::set<std::string> texts;
  for (uint64_t i = 0; i < space.size(); ++i) {
    const bool is_new =
        texts.insert(space.layout()->to_string(space.at(i))).second;
    CHECK(is_new);
  }
  return texts;
}

}  // namespace

TEST_CASE("CountedSpace: has exactly the paths of the budget", "[search]") {
  const auto layout = varied_layout();
  const auto cost = made_up_macs(layout, varied_macs, /*outside=*/100);
  for (const double at_most : {150.0, 170.0, 190.5, 210.0, 240.0, 1e30}) {
    CAPTURE(at_most);
    const Budget budget(cost, CostKind::kMacs, at_most);
    const auto expected = within(layout, budget);
    if (expected.empty()) {
      CHECK_THROWS_AS(CountedSpace(budget), c10::ValueError);
      continue;
    }
    const CountedSpace space(budget);
    CHECK(space.is_exact());
    CHECK(space.slack() == 0);
    CHECK(space.size() == expected.size());
    CHECK(listed_paths(space) == expected);
    CHECK(
        std::abs(
            space.log2_size() -
            std::log2(static_cast<double>(expected.size()))) < 1e-12);
  }
}

TEST_CASE("CountedSpace: several limits hold at once", "[search]") {
  const auto layout = varied_layout();
  const auto cost = made_up_costs(layout, [](int64_t gate, int64_t branch) {
    PathCost made;
    made.macs = varied_macs(gate, branch);
    made.parameters = 40 - varied_macs(gate, branch) % 17;
    made.latency = 1e-3 * static_cast<double>(branch + 1);
    return made;
  });
  const auto limit = [&](CostKind kind) {
    return Budget(cost, kind, exceeded_by_a_third(cost, kind));
  };
  const Budget macs = limit(CostKind::kMacs);
  const Budget parameters = limit(CostKind::kParameters);
  const Budget latency = limit(CostKind::kLatency);
  for (const auto& budget :
       {macs && parameters,
        macs && latency,
        macs && parameters && latency,
        macs && parameters && latency && macs}) {
    CAPTURE(budget.text());
    const auto expected = within(layout, budget);
    REQUIRE(expected.size() > 1);
    REQUIRE(expected.size() < layout->size());
    CHECK(listed_paths(CountedSpace(budget)) == expected);
  }
}

TEST_CASE("CountedSpace: buckets err on the safe side", "[search]") {
  std::vector<gatedpaths::GateLayout> gates;
  for (int i = 0; i < 6; ++i) {
    gates.push_back(numbered_gate("g" + std::to_string(i), 4, 1, 1));
  }
  const auto layout = shared_layout(gates);
  const auto cost = made_up_macs(layout, [](int64_t gate, int64_t branch) {
    return 1000 + (gate * 7919 + branch * branch * 104729) % 10007;
  });
  const Budget budget(cost, CostKind::kMacs, 30000);
  const auto exact = listed_paths(CountedSpace(budget));
  CHECK(exact == within(layout, budget));
  const CountedSpace space(budget, CountedSpaceOptions().max_states(30));
  CHECK_FALSE(space.is_exact());
  CHECK(space.slack() > 0);
  const auto counted = listed_paths(space);
  CHECK(counted.size() < exact.size());
  CHECK_FALSE(counted.empty());
  for (const std::string& text : counted) {
    CHECK(exact.contains(text));
  }
  for (const std::string& text : exact) {
    const double macs = cost.of(layout->parse(text)).of(CostKind::kMacs);
    if (macs <= 30000 - space.slack()) {
      CHECK(counted.contains(text));
    }
  }
}

TEST_CASE("CountedSpace: counts more than 64 bits hold", "[search]") {
  std::vector<gatedpaths::GateLayout> gates;
  for (int i = 0; i < 64; ++i) {
    gates.push_back(numbered_gate("g" + std::to_string(i), 8, 1, 1));
  }
  const auto layout = shared_layout(gates);
  const auto cost =
      made_up_macs(layout, [](int64_t, int64_t branch) { return branch; });
  // Half of all paths are below the middle, as the costs are symmetric.
  const CountedSpace all(Budget(cost, CostKind::kMacs, 64 * 7));
  CHECK(std::abs(all.log2_size() - 192) < 1e-9);
  CHECK(all.is_exact());
  const CountedSpace lower(Budget(cost, CostKind::kMacs, 32 * 7 - 1));
  const CountedSpace with_middle(Budget(cost, CostKind::kMacs, 32 * 7));
  const double share = std::exp2(lower.log2_size() - 192) +
                       std::exp2(with_middle.log2_size() - 192);
  CHECK(std::abs(share - 1) < 1e-9);
  CHECK_THAT(
      message_of<c10::ValueError>([&] { all.size(); }),
      Catch::Matchers::StartsWith(
          "CountedSpace::size: expected a number of paths that fits 64 bits, "
          "got 2^192.00"));
  CHECK(CountedSpace(Budget(cost, CostKind::kMacs, 1)).size() == 65);
}

TEST_CASE("CountedSpace: a space without a gate has one path", "[search]") {
  const auto layout = shared_layout({});
  const auto cost =
      made_up_macs(layout, [](int64_t, int64_t) { return 0; }, /*outside=*/5);
  CHECK(CountedSpace(Budget(cost, CostKind::kMacs, 5)).size() == 1);
  CHECK_THROWS_AS(
      CountedSpace(Budget(cost, CostKind::kMacs, 4)), c10::ValueError);
}

TEST_CASE("CountedSpace: what costs just the limit is counted", "[search]") {
  const auto layout = varied_layout();
  const auto cost = made_up_costs(
      layout,
      [](int64_t gate, int64_t branch) {
        return PathCost{
            .latency = 1e-4 * static_cast<double>(3 * gate + 7 * branch + 1)};
      },
      PathCost{.latency = 7e-4});
  std::set<double> limits;
  for (uint64_t i = 0; i < layout->size(); ++i) {
    limits.insert(cost.of(layout->at(i)).latency);
  }
  for (const double at_most : limits) {
    CAPTURE(at_most);
    const Budget budget(cost, CostKind::kLatency, at_most);
    const auto expected = within(layout, budget);
    CHECK_FALSE(expected.empty());
    CHECK(CountedSpace(budget).size() == expected.size());
    for (uint64_t i = 0; i < layout->size(); ++i) {
      const auto path = layout->at(i);
      const bool is_below = cost.of(path).latency < at_most + 1e-12;
      CHECK(budget.admits(path) == is_below);
    }
  }

  // Above 2^53 a floating point number no longer tells two costs apart.
  const auto large = made_up_macs(
      layout,
      [](int64_t, int64_t) { return 0; },
      /*outside=*/(int64_t{1} << 53) + 1);
  const Budget budget(large, CostKind::kMacs, 0x1.0p53);
  CHECK_FALSE(budget.admits(layout->at(0)));
  CHECK_THROWS_AS(CountedSpace(budget), c10::ValueError);
}

TEST_CASE(
    "CountedSpace: buckets may be as coarse as 64 bits hold", "[search]") {
  const auto layout =
      shared_layout({numbered_gate("a", 2, 1, 1), numbered_gate("b", 2, 1, 1)});
  for (const int shift : {20, 40, 58}) {
    CAPTURE(shift);
    const auto cost = made_up_macs(
        layout, [&](int64_t, int64_t branch) { return branch << shift; });
    const Budget budget(cost, CostKind::kMacs, 1e18);
    CHECK_THAT(
        message_of<c10::ValueError>(
            [&] { CountedSpace(budget, CountedSpaceOptions().max_states(1)); }),
        Catch::Matchers::StartsWith(
            "CountedSpace: expected max_states that hold the space with the "
            "coarsest buckets, got 1"));
  }
}

TEST_CASE("Budget: costs beyond 64 bits are refused", "[search][error]") {
  const auto layout =
      shared_layout({numbered_gate("a", 2, 1, 1), numbered_gate("b", 2, 1, 1)});
  const auto costs = [&](int64_t macs) {
    return made_up_macs(layout, [=](int64_t, int64_t) { return macs; });
  };
  const int64_t most = (int64_t{1} << 59) - 1024;
  const auto cost = costs(most);
  const Budget budget(cost, CostKind::kMacs, static_cast<double>(2 * most));
  CHECK(CountedSpace(budget).size() == 4);
  CHECK(budget.admits(layout->at(3)));
  CHECK_THROWS_AS(
      CountedSpace(Budget(cost, CostKind::kMacs, 1e18)), c10::ValueError);
  CHECK_THAT(
      message_of<c10::ValueError>(
          [&] { Budget(costs(int64_t{1} << 59), CostKind::kMacs, 1e30); }),
      Catch::Matchers::StartsWith(
          "Budget: expected macs of less than 2.306e+18 in all branches "
          "together, got 2.306e+18"));
  CHECK_THAT(
      message_of<c10::ValueError>([&] { costs(-(int64_t{1} << 61)); }),
      Catch::Matchers::StartsWith(
          "CostModel: expected macs that fit 64 bits in all branches together, "
          "got 9.223e+18"));
}

TEST_CASE("CountedSpace: bad input is refused by name", "[search][error]") {
  const auto layout =
      shared_layout({numbered_gate("a", 2, 1, 1), numbered_gate("b", 2, 1, 1)});
  const auto cost = made_up_costs(
      layout,
      [](int64_t gate, int64_t branch) {
        PathCost made;
        made.macs = 3 + branch * (gate == 0 ? 2 : -1);
        made.parameters = 10 - made.macs;
        return made;
      },
      PathCost{.macs = 100});
  CHECK_THAT(
      message_of<c10::ValueError>(
          [&] { CountedSpace(Budget(cost, CostKind::kMacs, 104)); }),
      Catch::Matchers::Equals(
          "CountedSpace: expected a budget that a path keeps, got macs of at "
          "most 104, which is below the smallest macs there are, 105 of path "
          "'a=0;b=1'"));
  CHECK_THAT(
      message_of<c10::ValueError>([&] {
        CountedSpace(
            Budget(cost, CostKind::kMacs, 105) &&
            Budget(cost, CostKind::kParameters, 12));
      }),
      Catch::Matchers::StartsWith(
          "CountedSpace: expected limits that a path keeps together"));
  CHECK_THROWS_AS(Budget(cost, CostKind::kMacs, std::nan("")), c10::ValueError);
  CHECK_THROWS_AS(
      CountedSpace(Budget(
          cost, CostKind::kMacs, -std::numeric_limits<double>::infinity())),
      c10::ValueError);
  CHECK_THROWS_AS(
      CountedSpace(
          Budget(cost, CostKind::kMacs, 200),
          CountedSpaceOptions().max_states(0)),
      c10::ValueError);
  CHECK_THROWS_AS(
      CountedSpace(
          Budget(cost, CostKind::kMacs, 200),
          CountedSpaceOptions().max_states(1)),
      c10::ValueError);
  const CountedSpace space(Budget(cost, CostKind::kMacs, 200));
  CHECK_THROWS_AS(space.at(4), c10::IndexError);
  CHECK_THROWS_AS(space.slack(1), c10::IndexError);

  const auto other = shared_layout({numbered_gate("z", 2, 1, 1)});
  const auto other_cost =
      made_up_macs(other, [](int64_t, int64_t) { return 1; });
  CHECK_THROWS_AS(
      Budget(cost, CostKind::kMacs, 200) &&
          Budget(other_cost, CostKind::kMacs, 200),
      c10::ValueError);

  const auto twice = shared_layout(
      {numbered_gate("a", 2, 1, 1),
       numbered_gate("in", 2, 1, 1, {{0, 0}, {0, 1}})});
  const auto twice_cost =
      made_up_macs(twice, [](int64_t, int64_t) { return 1; });
  CHECK_THAT(
      message_of<c10::ValueError>(
          [&] { CountedSpace(Budget(twice_cost, CostKind::kMacs, 200)); }),
      Catch::Matchers::StartsWith(
          "CountedSpace: expected each gate in one place, got 'in' in 2"));
}
