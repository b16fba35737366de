// SPDX-License-Identifier: MIT
// The cost of a path, and a draw among the paths of a budget, in a space of
// gates of 8 of which one path in 10^12 is within the budget.
#include "support/program.hpp"

#include <gatedpaths/gatedpaths.hpp>

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace {

namespace gp = gatedpaths;

constexpr std::int64_t kBranches = 8;

std::shared_ptr<const gp::SpaceLayout> make_layout(std::int64_t gates) {
  std::vector<std::string> names;
  for (std::int64_t i = 0; i < kBranches; ++i) {
    names.push_back(fmt::format("branch{}", i));
  }
  std::vector<gp::GateLayout> layouts;
  for (std::int64_t i = 0; i < gates; ++i) {
    layouts.push_back({fmt::format("gate{}", i), names, 1, 1, {}});
  }
  return std::make_shared<const gp::SpaceLayout>(std::move(layouts));
}

/// Convolutions of some kernels, expansions and channels, as networks have.
gp::CostModel make_cost(const std::shared_ptr<const gp::SpaceLayout>& layout) {
  constexpr std::int64_t kPixels[] = {3136, 784, 196, 49};
  std::vector<std::vector<gp::PathCost>> branches;
  for (std::int64_t i = 0; i < layout->num_gates(); ++i) {
    const auto stage = static_cast<std::size_t>(4 * i / layout->num_gates());
    const std::int64_t channels = std::int64_t{16} << stage;
    auto& of_gate = branches.emplace_back();
    for (std::int64_t b = 0; b < kBranches; ++b) {
      const std::int64_t kernel = 3 + 2 * (b % 4);
      const std::int64_t expansion = 3 + 3 * (b / 4);
      gp::PathCost cost;
      cost.parameters = expansion * channels * (2 * channels + kernel * kernel);
      cost.macs = kPixels[stage] * cost.parameters;
      of_gate.push_back(cost);
    }
  }
  return {layout, {}, std::move(branches)};
}

/// The share of paths that is within a budget, as a logarithm to the base 2.
double log2_share(const gp::CountedSpace& space) {
  return space.log2_size() - space.layout()->log2_size();
}

constexpr double kLog2Trillionth = -39.86;

/// The limit that one path in about 10^12 keeps.
double tight_limit(const gp::CostModel& cost) {
  gp::UniformSampler sampler(cost.layout(), /*seed=*/1);
  double above = cost.of(sampler.next()).of(gp::CostKind::kMacs);
  double below = 0;  // kept by none
  for (int i = 0; i < 20; ++i) {
    const double middle = (below + above) / 2;
    bool is_kept = true;
    try {
      const gp::CountedSpace space(
          gp::Budget(cost, gp::CostKind::kMacs, middle),
          gp::CountedSpaceOptions().max_states(std::int64_t{1} << 16));
      is_kept = log2_share(space) > kLog2Trillionth;
    } catch (const c10::ValueError&) {
      is_kept = false;
    }
    (is_kept ? above : below) = middle;
  }
  return above;
}

struct Setting {
  explicit Setting(std::int64_t gates)
      : layout(make_layout(gates)),
        cost(make_cost(layout)),
        affordable(gp::Budget(cost, gp::CostKind::kMacs, tight_limit(cost))) {}

  std::shared_ptr<const gp::SpaceLayout> layout;
  gp::CostModel cost;
  gp::CountedSpace affordable;
};

void check(const Setting& setting) {
  gp::UniformSampler uniform(setting.layout, /*seed=*/2);
  for (int i = 0; i < 100; ++i) {
    const auto path = uniform.next();
    gp::PathCost sum = setting.cost.outside();
    for (const auto& [gate, open] : path) {
      sum += setting.cost.branch(gate, open.front());
    }
    TORCH_CHECK(
        setting.cost.of(path) == sum, "cost.of: expected the sum of the parts");
  }
  const double share = log2_share(setting.affordable);
  TORCH_CHECK(
      setting.layout->num_gates() < 64 || std::abs(share - kLog2Trillionth) < 3,
      "expected about one path in 10^12 within the budget, got 2^",
      share);
  gp::BudgetSampler sampler(setting.affordable, /*seed=*/3);
  for (int i = 0; i < 100; ++i) {
    TORCH_CHECK(
        setting.affordable.budget().admits(sampler.next()),
        "BudgetSampler: expected paths within the budget alone");
  }
}

std::vector<bench::Group> make_groups(const bench::Settings& settings) {
  const std::int64_t gates = settings.quick ? 8 : 64;
  const auto setting = std::make_shared<const Setting>(gates);
  const auto name = [gates](const char* what) {
    return fmt::format("search/{}/gates:{}", what, gates);
  };
  bench::Group costs;
  costs.check = [setting] { check(*setting); };
  costs.rows.push_back(
      {name("cost_of"),
       [setting](benchmark::State& state) {
         gp::UniformSampler sampler(setting->layout, /*seed=*/4);
         const auto path = sampler.next();
         for (auto _ : state) {
           benchmark::DoNotOptimize(setting->cost.of(path));
         }
       },
       benchmark::kNanosecond});
  costs.rows.push_back(
      {name("uniform_draw"),
       [setting](benchmark::State& state) {
         gp::UniformSampler sampler(setting->layout, /*seed=*/5);
         for (auto _ : state) {
           benchmark::DoNotOptimize(sampler.next());
         }
       },
       benchmark::kNanosecond});
  costs.rows.push_back(
      {name("budget_draw"),
       [setting](benchmark::State& state) {
         gp::BudgetSampler sampler(setting->affordable, /*seed=*/6);
         state.counters["states_exact"] =
             setting->affordable.is_exact() ? 1 : 0;
         for (auto _ : state) {
           benchmark::DoNotOptimize(sampler.next());
         }
       },
       benchmark::kNanosecond});
  return {costs};
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_program(argc, argv, make_groups);
}
