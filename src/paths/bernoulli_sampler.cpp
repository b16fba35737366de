// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/stream_seed.hpp>
#include <gatedpaths/paths/bernoulli_sampler.hpp>

#include "draw_path.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <utility>

namespace gatedpaths {
namespace {

using BernoulliSets = std::vector<detail::ConditionalSets>;

std::shared_ptr<const BernoulliSets> bernoulli_sets(
    const SpaceLayout& layout, const std::vector<std::vector<double>>& all) {
  BernoulliSets sets;
  for (size_t i = 0; i < all.size(); ++i) {
    const GateLayout& gate = layout.gates()[i];
    const auto odds = detail::conditional_odds(
        "BernoulliSampler",
        fmt::format(" in gate '{}'", gate.name),
        all[i],
        gate.min_open,
        gate.max_open);
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
    std::shared_ptr<const SpaceLayout> layout, uint64_t seed, OneForAll all)
    : Sampler(std::move(layout), seed) {
  set_probabilities(same_for_all(this->layout(), all.p));
}

BernoulliSampler::BernoulliSampler(
    std::shared_ptr<const SpaceLayout> layout,
    uint64_t seed,
    const GateValues& probabilities)
    : Sampler(std::move(layout), seed) {
  set_probabilities(detail::numbers_by_gate(
      {"BernoulliSampler", "probabilities", "probabilities in [0, 1]", 1},
      this->layout(),
      probabilities,
      /*otherwise=*/0.5));
}

void BernoulliSampler::set_probabilities(
    const std::vector<std::vector<double>>& all) {
  sets_ = bernoulli_sets(layout(), all);
  set_source("BernoulliSampler", detail::hash_of_numbers(all));
}

Path BernoulliSampler::at(uint64_t step) const {
  return detail::draw_conditional_path(
      layout(), *sets_, stream_seed(seed(), "BernoulliSampler"), step);
}

}  // namespace gatedpaths
