// SPDX-License-Identifier: MIT
#include "path_sources.hpp"

#include "named_choice.hpp"

#include <gatedpaths/learning/gumbel_estimator.hpp>
#include <gatedpaths/learning/mixture_estimator.hpp>
#include <gatedpaths/learning/reinforce_estimator.hpp>
#include <gatedpaths/learning/two_path_estimator.hpp>
#include <gatedpaths/paths/fair_sampler.hpp>
#include <gatedpaths/paths/sandwich_sampler.hpp>
#include <gatedpaths/paths/uniform_sampler.hpp>

namespace nas_bench_macro {

namespace gp = gatedpaths;

const std::vector<std::string>& sampler_names() {
  static const std::vector<std::string> names = {"fair", "uniform", "sandwich"};
  return names;
}

const std::vector<std::string>& estimator_names() {
  static const std::vector<std::string> names = {
      "two-path", "reinforce", "gumbel", "mixture"};
  return names;
}

std::unique_ptr<gp::Sampler> make_sampler(
    const std::string& name, const gp::PathSpace& space, std::uint64_t seed) {
  require_one_of("--sampler", name, sampler_names());
  if (name == "uniform") {
    return std::make_unique<gp::UniformSampler>(space, seed);
  }
  if (name == "sandwich") {
    return std::make_unique<gp::SandwichSampler>(space, seed);
  }
  return std::make_unique<gp::FairSampler>(space, seed);
}

std::unique_ptr<gp::PathEstimator> make_estimator(
    const std::string& name,
    const gp::PathLogits& logits,
    const gp::PathSpace& space,
    std::uint64_t seed) {
  require_one_of("--estimator", name, estimator_names());
  if (name == "reinforce") {
    return std::make_unique<gp::ReinforceEstimator>(logits, space, seed);
  }
  if (name == "gumbel") {
    return std::make_unique<gp::GumbelEstimator>(logits, space, seed);
  }
  if (name == "mixture") {
    return std::make_unique<gp::MixtureEstimator>(logits, space, seed);
  }
  return std::make_unique<gp::TwoPathEstimator>(logits, space, seed);
}

}  // namespace nas_bench_macro
