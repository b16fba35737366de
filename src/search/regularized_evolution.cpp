// SPDX-License-Identifier: MIT
#include <gatedpaths/search/regularized_evolution.hpp>

#include "path_proposer.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <utility>

namespace gatedpaths {

RegularizedEvolution::RegularizedEvolution(
    std::shared_ptr<const SpaceLayout> layout,
    uint64_t seed,
    SearchOptions options,
    const RegularizedEvolutionOptions& evolution)
    : SearchStrategy(
          "RegularizedEvolution",
          std::move(layout),
          seed,
          std::move(options),
          fmt::format(
              "population_size={}, sample_size={}",
              evolution.population_size(),
              evolution.sample_size())),
      population_size_(static_cast<size_t>(evolution.population_size())),
      sample_size_(evolution.sample_size()) {
  check_one_objective();
  TORCH_CHECK_VALUE(
      evolution.population_size() >= 1 && evolution.sample_size() >= 1,
      fmt::format(
          "RegularizedEvolution: expected sizes of at least 1, got "
          "population_size={} and sample_size={}",
          evolution.population_size(),
          evolution.sample_size()));
}

std::optional<Path> RegularizedEvolution::propose(uint64_t step) {
  if (population_.size() < population_size_) {
    return draw_path(step);
  }
  detail::CounterRandom random(
      stream(), step, static_cast<uint64_t>(detail::Lane::kChoice));
  const auto draw = [&] { return population_[random.below(population_size_)]; };
  size_t parent = draw();
  for (int64_t i = 1; i < sample_size_; ++i) {
    const size_t other = draw();
    if (score(other) > score(parent)) {
      parent = other;
    }
  }
  return mutate_path(path_of(parent), step);
}

void RegularizedEvolution::learn(size_t result) {
  if (is_failure(result)) {
    return;
  }
  population_.push_back(result);
  if (population_.size() > population_size_) {
    population_.pop_front();
  }
}

}  // namespace gatedpaths
