// SPDX-License-Identifier: MIT
#include <gatedpaths/learning/mixture_estimator.hpp>

#include "support/catch.hpp"
#include "support/learned_net.hpp"
#include "support/snapshot.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::MixtureEstimator;
using gatedpaths::PathLogits;
using gatedpaths::PathSpace;
using gatedpaths::test::LearnedNet;
using gatedpaths::test::uneven_logits;
using torch::nn::Linear;

TEST_CASE(
    "MixtureEstimator: applies the most probable path",
    "[mixture_estimator][forward]") {
  LearnedNet net;
  const PathSpace space(net);
  const auto logits = uneven_logits(space);
  MixtureEstimator estimator(logits, space, 5);
  CHECK(estimator.branches_run(0) == 3);
  CHECK(estimator.apply() == logits->most_probable());
  CHECK(space.current() == logits->most_probable());
}

TEST_CASE(
    "MixtureEstimator: every gate and branch gets a gradient, nested ones too",
    "[mixture_estimator][backward]") {
  torch::manual_seed(6);
  ChoiceBlock outer(
      {{"plain", Linear(2, 2)},
       {"nested", ChoiceBlock(Linear(2, 2), Linear(2, 2))}});
  const PathSpace space(outer);
  PathLogits logits(space);
  MixtureEstimator estimator(logits, space, 5);
  estimator.apply();
  estimator.objective(outer->forward(torch::ones({1, 2})).sum()).backward();
  CHECK(gatedpaths::test::all_defined(gatedpaths::test::gradients_of(*outer)));
  CHECK(gatedpaths::test::all_defined(gatedpaths::test::gradients_of(*logits)));
}
