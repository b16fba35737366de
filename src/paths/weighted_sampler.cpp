// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/stream_seed.hpp>
#include <gatedpaths/paths/weighted_sampler.hpp>

#include "../text/text.hpp"
#include "draw_path.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace gatedpaths {
namespace {

using WeightedSets = std::vector<detail::ConditionalSets>;

std::shared_ptr<const WeightedSets> weighted_sets(
    const SpaceLayout& layout,
    const std::vector<std::vector<double>>& weights) {
  WeightedSets sets;
  for (size_t i = 0; i < weights.size(); ++i) {
    const GateLayout& gate = layout.gates()[i];
    const auto zeros = std::count(weights[i].begin(), weights[i].end(), 0.0);
    const int64_t needed = std::max(gate.min_open, int64_t{1});
    TORCH_CHECK_VALUE(
        static_cast<int64_t>(weights[i].size()) - zeros >= needed,
        fmt::format(
            "WeightedSampler: expected >= {} weights above 0 for gate "
            "'{}', got {}",
            needed,
            gate.name,
            detail::numbers(weights[i])));
    sets.emplace_back(weights[i], gate.min_open, gate.max_open);
  }
  return std::make_shared<const WeightedSets>(std::move(sets));
}

}  // namespace

WeightedSampler::WeightedSampler(
    std::shared_ptr<const SpaceLayout> layout,
    uint64_t seed,
    const GateValues& weights)
    : Sampler(std::move(layout), seed) {
  const auto all = detail::numbers_by_gate(
      {"WeightedSampler",
       "weights",
       "finite weights >= 0",
       std::numeric_limits<double>::max()},
      this->layout(),
      weights,
      /*otherwise=*/1);
  sets_ = weighted_sets(this->layout(), all);
  set_source("WeightedSampler", detail::hash_of_numbers(all));
}

Path WeightedSampler::at(uint64_t step) const {
  return detail::draw_conditional_path(
      layout(), *sets_, stream_seed(seed(), "WeightedSampler"), step);
}

}  // namespace gatedpaths
