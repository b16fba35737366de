// SPDX-License-Identifier: MIT
#include <gatedpaths/search/budget_sampler.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/chi_square.hpp"
#include "support/costs.hpp"
#include "support/samplers.hpp"

using gatedpaths::Budget;
using gatedpaths::BudgetSampler;
using gatedpaths::CostKind;
using gatedpaths::CountedSpace;
using gatedpaths::CountedSpaceOptions;
using gatedpaths::SpaceLayout;
using gatedpaths::test::check_function_of_step;
using gatedpaths::test::deviations_from_uniform;
using gatedpaths::test::made_up_macs;
using gatedpaths::test::numbered_gate;
using gatedpaths::test::shared_layout;

namespace {

std::shared_ptr<const SpaceLayout> nested_layout() {
  return shared_layout(
      {numbered_gate("a", 2, 1, 1),
       numbered_gate("a.in", 3, 1, 1, {{0, 0}}),
       numbered_gate("b", 4, 1, 2),
       numbered_gate("c", 3, 1, 1)});
}

int64_t nested_macs(int64_t gate, int64_t branch) {
  return (gate + 2) * (branch + 1) % 7;
}

// 64 gates of 8, half of the branches free.
std::vector<gatedpaths::GateLayout> wide_gates(int64_t count) {
  std::vector<gatedpaths::GateLayout> gates;
  for (int64_t i = 0; i < count; ++i) {
    gates.push_back(numbered_gate("g" + std::to_string(i), 8, 1, 1));
  }
  return gates;
}

}  // namespace

TEST_CASE("BudgetSampler: each path is as likely as any", "[search][random]") {
  const auto layout = nested_layout();
  const auto cost = made_up_macs(layout, nested_macs);
  const double at_most = GENERATE(9.0, 12.0, 1e9);
  const CountedSpace space(Budget(cost, CostKind::kMacs, at_most));
  REQUIRE(space.size() > 4);
  std::map<std::string, size_t> number;
  for (uint64_t i = 0; i < space.size(); ++i) {
    number.emplace(layout->to_string(space.at(i)), i);
  }
  BudgetSampler sampler(space, /*seed=*/5);
  std::vector<int64_t> counts(space.size());
  for (uint64_t i = 0; i < 200 * space.size(); ++i) {
    ++counts[number.at(layout->to_string(sampler.next()))];
  }
  CHECK(std::abs(deviations_from_uniform(counts)) < 4);
}

TEST_CASE(
    "BudgetSampler: above 64 bits it is uniform too", "[search][random]") {
  // 2^66 paths and more: so the numbers are floating point ones. Which of the
  // branches that cost nothing is open, and where the one that costs is, are
  // uniform then.
  const auto layout = shared_layout(wide_gates(40));
  const auto cost = made_up_macs(
      layout, [](int64_t, int64_t branch) { return branch < 4 ? 0 : 1; });
  const CountedSpace space(Budget(cost, CostKind::kMacs, 1));
  // 4^40 without a cost, and 40 times as many with one.
  CHECK(std::abs(space.log2_size() - (80 + std::log2(41.0))) < 1e-9);
  BudgetSampler sampler(space, /*seed=*/3);
  std::vector<int64_t> places(41);
  std::vector<int64_t> free_branches(4);
  for (int i = 0; i < 4100; ++i) {
    const auto path = sampler.next();
    size_t place = 40;
    for (const auto& [gate, open] : path) {
      if (open[0] >= 4) {
        CHECK(place == 40);
        place = static_cast<size_t>(gate);
      } else if (gate == 7) {
        ++free_branches[static_cast<size_t>(open[0])];
      }
    }
    ++places[place];
  }
  CHECK(std::abs(deviations_from_uniform(places)) < 4);
  CHECK(std::abs(deviations_from_uniform(free_branches)) < 4);
}

TEST_CASE("BudgetSampler: one path in 10^12 is found at once", "[search]") {
  const auto layout = shared_layout(wide_gates(64));
  const auto cost = made_up_macs(layout, [](int64_t gate, int64_t branch) {
    return (gate % 5 + 3) * branch * 100;
  });
  const double at_most = 45000;  // seven standard deviations below the mean
  const CountedSpace space(Budget(cost, CostKind::kMacs, at_most));
  CHECK(space.log2_size() < 192 - 40);
  CHECK(space.is_exact());
  BudgetSampler sampler(space, /*seed=*/1);
  double most = 0;
  for (int i = 0; i < 200; ++i) {
    const auto path = sampler.next();
    CHECK(space.budget().admits(path));
    most = std::max(most, cost.of(path).of(CostKind::kMacs));
  }
  CHECK(most > 0.9 * at_most);
}

TEST_CASE("BudgetSampler: a path is a function of its step", "[search]") {
  const auto layout = nested_layout();
  const auto cost = made_up_macs(layout, nested_macs);
  const CountedSpace space(Budget(cost, CostKind::kMacs, 12));
  check_function_of_step(BudgetSampler(space, /*seed=*/7));

  BudgetSampler sampler(space, /*seed=*/7);
  BudgetSampler other(CountedSpace(Budget(cost, CostKind::kMacs, 9)), 7);
  CHECK_THROWS_AS(other.set_state(sampler.state()), c10::ValueError);
  sampler.set_state(BudgetSampler(space, /*seed=*/8).state());
  CHECK(sampler.seed() == 8);
}
