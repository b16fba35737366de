// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/stream_seed.hpp>
#include <gatedpaths/search/budget_sampler.hpp>

#include "../random/counter_random.hpp"
#include "budget_table.hpp"

#include <utility>

namespace gatedpaths {

BudgetSampler::BudgetSampler(CountedSpace space, uint64_t seed)
    : Sampler(space.layout(), seed), space_(std::move(space)) {
  set_source("BudgetSampler", space_.table_->hash());
}

Path BudgetSampler::at(uint64_t step) const {
  detail::CounterRandom random(
      stream_seed(seed(), "BudgetSampler"), step, /*gate=*/0);
  return space_.table_->draw(random);
}

}  // namespace gatedpaths
