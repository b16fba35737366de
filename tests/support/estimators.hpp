// SPDX-License-Identifier: MIT
// The estimators by name, so that one test serves for all.
#pragma once

#include <gatedpaths/learning/gumbel_estimator.hpp>
#include <gatedpaths/learning/mixture_estimator.hpp>
#include <gatedpaths/learning/reinforce_estimator.hpp>
#include <gatedpaths/learning/two_path_estimator.hpp>

#include <c10/util/Exception.h>

#include <cstdint>
#include <memory>
#include <string>

#include "support/catch.hpp"

namespace gatedpaths::test {

inline std::unique_ptr<PathEstimator> make_estimator(
    const std::string& name,
    const PathLogits& logits,
    const PathSpace& space,
    uint64_t seed = 3,
    const GumbelOptions& gumbel = {}) {
  if (name == "GumbelEstimator") {
    return std::make_unique<GumbelEstimator>(logits, space, seed, gumbel);
  }
  if (name == "TwoPathEstimator") {
    return std::make_unique<TwoPathEstimator>(logits, space, seed);
  }
  if (name == "ReinforceEstimator") {
    return std::make_unique<ReinforceEstimator>(logits, space, seed);
  }
  TORCH_CHECK(name == "MixtureEstimator", "no estimator is called ", name);
  return std::make_unique<MixtureEstimator>(logits, space, seed);
}

inline auto all_estimators() {
  return Catch::Generators::values<std::string>(
      {"GumbelEstimator",
       "TwoPathEstimator",
       "ReinforceEstimator",
       "MixtureEstimator"});
}

}  // namespace gatedpaths::test
