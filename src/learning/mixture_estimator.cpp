// SPDX-License-Identifier: MIT
#include <gatedpaths/learning/mixture_estimator.hpp>

#include <gatedpaths/gates/branch_weighting.hpp>

#include <memory>
#include <utility>

namespace gatedpaths {

MixtureEstimator::MixtureEstimator(
    PathLogits logits, PathSpace space, uint64_t seed)
    : PathEstimator(
          "MixtureEstimator", std::move(logits), std::move(space), seed) {
  find_blocks();
}

int64_t MixtureEstimator::branches_run(int64_t gate) const {
  return static_cast<int64_t>(space().layout()->gate(gate).branch_names.size());
}

PathEstimator::Draw MixtureEstimator::draw(
    const std::vector<std::vector<double>>& /*values*/, uint64_t /*step*/) {
  Draw drawn;
  drawn.path = logits()->most_probable();
  for (int64_t gate = 0; gate < space().num_gates(); ++gate) {
    drawn.weightings.emplace_back(
        gate,
        std::make_shared<BranchWeighting>(
            BranchWeighting{.logits = logits()->logits(gate)}));
  }
  return drawn;
}

}  // namespace gatedpaths
