// SPDX-License-Identifier: MIT
#include <gatedpaths/paths/bernoulli_sampler.hpp>

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "draw_path.hpp"

namespace gatedpaths {
namespace {

using BernoulliSets = std::vector<detail::ConditionalSets>;

void check_possible(
    const GateLayout& gate, const std::vector<double>& probabilities) {
  const auto never =
      std::count(probabilities.begin(), probabilities.end(), 0.0);
  const auto always =
      std::count(probabilities.begin(), probabilities.end(), 1.0);
  const auto branches = static_cast<int64_t>(probabilities.size());
  TORCH_CHECK_VALUE(
      always <= gate.max_open && branches - never >= gate.min_open,
      fmt::format(
          "BernoulliSampler: expected probabilities that allow {} to {} open "
          "branches of {} in gate '{}', got {} that are 0 and {} that are 1",
          gate.min_open,
          gate.max_open,
          branches,
          gate.name,
          never,
          always));
}

std::shared_ptr<const BernoulliSets> bernoulli_sets(
    const SpaceLayout& layout, const std::vector<std::vector<double>>& all) {
  BernoulliSets sets;
  for (size_t i = 0; i < all.size(); ++i) {
    const GateLayout& gate = layout.gates()[i];
    check_possible(gate, all[i]);
    std::vector<double> odds;
    for (const double probability : all[i]) {
      odds.push_back(detail::odds_of(probability));
    }
    sets.emplace_back(odds, gate.min_open, gate.max_open);
  }
  return std::make_shared<const BernoulliSets>(std::move(sets));
}

std::vector<std::vector<double>> same_for_all(
    const SpaceLayout& layout, double p) {
  TORCH_CHECK_VALUE(
      0 <= p && p <= 1,
      fmt::format(
          "BernoulliSampler: expected a probability in [0, 1], got {}", p));
  std::vector<std::vector<double>> all;
  for (const GateLayout& gate : layout.gates()) {
    all.emplace_back(gate.branch_names.size(), p);
  }
  return all;
}

}  // namespace

BernoulliSampler::BernoulliSampler(
    std::shared_ptr<const SpaceLayout> layout, uint64_t seed, double p)
    : Sampler(std::move(layout), seed),
      sets_(bernoulli_sets(this->layout(), same_for_all(this->layout(), p))) {}

BernoulliSampler::BernoulliSampler(
    std::shared_ptr<const SpaceLayout> layout,
    uint64_t seed,
    const GateValues& probabilities)
    : Sampler(std::move(layout), seed),
      sets_(bernoulli_sets(
          this->layout(),
          detail::numbers_by_gate(
              {"BernoulliSampler",
               "probabilities",
               "probabilities in [0, 1]",
               1},
              this->layout(),
              probabilities,
              /*otherwise=*/0.5))) {}

Path BernoulliSampler::at(uint64_t step) const {
  return detail::draw_conditional_path(layout(), *sets_, seed(), step);
}

}  // namespace gatedpaths
