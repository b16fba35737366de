// SPDX-License-Identifier: MIT
// Estimators whose step is not finished when something else comes.
#include <gatedpaths/learning/gumbel_estimator.hpp>
#include <gatedpaths/learning/mixture_estimator.hpp>
#include <gatedpaths/learning/reinforce_estimator.hpp>
#include <gatedpaths/learning/two_path_estimator.hpp>
#include <gatedpaths/paths/uniform_sampler.hpp>

#include <torch/optim/sgd.h>

#include <limits>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/learned_net.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using Catch::Matchers::StartsWith;
using gatedpaths::DrawState;
using gatedpaths::GumbelEstimator;
using gatedpaths::MixtureEstimator;
using gatedpaths::PathEstimator;
using gatedpaths::PathLogits;
using gatedpaths::PathSpace;
using gatedpaths::ReinforceEstimator;
using gatedpaths::TwoPathEstimator;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::bit_equal;
using gatedpaths::test::copies_of;
using gatedpaths::test::LearnedNet;
using gatedpaths::test::message_of;
using gatedpaths::test::uneven_logits;

namespace {

std::vector<std::unique_ptr<PathEstimator>> one_of_each(
    const PathLogits& logits, const PathSpace& space) {
  std::vector<std::unique_ptr<PathEstimator>> all;
  all.push_back(std::make_unique<GumbelEstimator>(logits, space, 3));
  all.push_back(std::make_unique<TwoPathEstimator>(logits, space, 3));
  all.push_back(std::make_unique<ReinforceEstimator>(logits, space, 3));
  all.push_back(std::make_unique<MixtureEstimator>(logits, space, 3));
  return all;
}

torch::serialize::InputArchive archive_of_estimator(
    const PathEstimator& estimator) {
  torch::serialize::OutputArchive out;
  estimator.save(out);
  std::stringstream stream;
  out.save_to(stream);
  torch::serialize::InputArchive in;
  in.load_from(stream);
  return in;
}

void step_of(PathEstimator& estimator, LearnedNet& net, bool finish) {
  torch::optim::SGD optimizer(
      estimator.logits()->parameters(),
      torch::optim::SGDOptions(0.3).momentum(0.9));
  estimator.apply();
  optimizer.zero_grad();
  estimator.objective(net.square_loss()).backward();
  optimizer.step();
  if (finish) {
    estimator.finish_step();
  }
}

}  // namespace

TEST_CASE(
    "PathEstimator: loading forgets a step that is not finished",
    "[path_estimator][serialize]") {
  const bool stepped = GENERATE(false, true);
  LearnedNet net;
  const PathSpace space(net);
  const auto logits = uneven_logits(space);
  for (const auto& estimator : one_of_each(logits, space)) {
    CAPTURE(estimator->name(), stepped);
    step_of(*estimator, net, /*finish=*/true);
    auto archive = archive_of_estimator(*estimator);
    const auto saved = copies_of(logits->parameters());
    const DrawState state = estimator->state();
    step_of(*estimator, net, /*finish=*/true);
    if (stepped) {
      step_of(*estimator, net, /*finish=*/false);
    } else {
      estimator->apply();
    }
    estimator->load(archive);
    CHECK(estimator->state() == state);
    CHECK(net.first->weighting() == nullptr);
    CHECK(all_bit_equal(logits->parameters(), saved));
    CHECK_NOTHROW(archive_of_estimator(*estimator));
    estimator->finish_step();
    CHECK(all_bit_equal(logits->parameters(), saved));
  }
}

TEST_CASE(
    "TwoPathEstimator: logits that are set after apply are kept",
    "[two_path_estimator]") {
  LearnedNet net;
  const PathSpace space(net);
  const auto logits = uneven_logits(space);
  TwoPathEstimator estimator(logits, space, 3);
  step_of(estimator, net, /*finish=*/true);  // leaves gradients behind
  const auto set = [&](double value) {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : logits->parameters()) {
      parameter.copy_(torch::tensor({value, -value, 1.0}, torch::kDouble));
    }
  };

  SECTION("without a gradient") {
    estimator.apply();
    set(0.25);
    const auto wanted = copies_of(logits->parameters());
    estimator.finish_step();
    CHECK(all_bit_equal(logits->parameters(), wanted));
  }
  SECTION("before the loss") {
    estimator.apply();
    set(0.25);
    const auto set_values = copies_of(logits->parameters());
    torch::optim::SGD optimizer(logits->parameters(), 0.3);
    optimizer.zero_grad();
    estimator.objective(net.square_loss()).backward();
    optimizer.step();
    const auto weighting = *net.first->weighting();
    estimator.finish_step();
    const int64_t third = 3 - weighting.active - weighting.other;
    const auto after = logits->logits(0).detach();
    CHECK(bit_equal(after[third], set_values[0][third]));
    CHECK_FALSE(bit_equal(after, set_values[0]));
    CHECK(
        gatedpaths::test::largest_difference(
            after.softmax(0)[third], set_values[0].softmax(0)[third]) < 1e-12);
  }
  SECTION("and a backward without objective counts as the optimizer's") {
    estimator.apply();
    const auto before = copies_of(logits->parameters());
    torch::optim::SGD optimizer(
        logits->parameters(), torch::optim::SGDOptions(0.3).weight_decay(0.5));
    optimizer.zero_grad();
    net.square_loss().backward();
    optimizer.step();
    const auto weighting = *net.first->weighting();
    estimator.finish_step();
    const int64_t third = 3 - weighting.active - weighting.other;
    CHECK(bit_equal(logits->logits(0).detach()[third], before[0][third]));
  }
}

TEST_CASE(
    "PathEstimator: a step that cannot begin leaves the one before in effect",
    "[path_estimator][error]") {
  LearnedNet net;
  const PathSpace space(net);
  auto logits = uneven_logits(space);
  const bool plain = GENERATE(false, true);
  for (const auto& estimator : one_of_each(logits, space)) {
    CAPTURE(estimator->name(), plain);
    estimator->apply();
    const auto path = space.current();
    const auto weighting = net.first->weighting();
    const DrawState state = estimator->state();
    const auto good = copies_of(logits->parameters());
    {
      const torch::NoGradGuard no_grad;
      logits->logits(0).fill_(std::numeric_limits<double>::quiet_NaN());
    }
    const auto apply = [&] {
      plain ? estimator->apply_plain() : estimator->apply();
    };
    CHECK_THROWS_AS(apply(), c10::Error);
    CHECK(space.current() == path);
    CHECK(net.first->weighting() == weighting);
    CHECK(estimator->state() == state);
    {
      const torch::NoGradGuard no_grad;
      logits->logits(0).copy_(good[0]);
    }
    CHECK_NOTHROW(estimator->objective(net.square_loss()));
    estimator->set_state({3, std::numeric_limits<uint64_t>::max()});
    CHECK_THAT(
        message_of<c10::Error>(apply),
        StartsWith("DrawState::take_step: expected a step that another one "
                   "follows"));
    CHECK(net.first->weighting() == weighting);
    CHECK_NOTHROW(estimator->objective(net.square_loss()));
    estimator->finish_step();
    net.zero_grad();
    logits->zero_grad();
    {
      const torch::NoGradGuard no_grad;
      logits->logits(0).copy_(good[0]);
    }
  }
}

TEST_CASE(
    "PathEstimator: refuses the state of another one and of a sampler",
    "[path_estimator][error]") {
  LearnedNet net;
  const PathSpace space(net);
  const auto logits = uneven_logits(space);
  const auto all = one_of_each(logits, space);
  gatedpaths::UniformSampler sampler(space, 7);
  for (const auto& estimator : all) {
    CAPTURE(estimator->name());
    CHECK_THAT(
        message_of<c10::ValueError>(
            [&] { estimator->set_state(sampler.state()); }),
        StartsWith(
            estimator->name() + "::set_state: expected a state of the "
                                "same kind, parameters and space"));
    CHECK(estimator->state() == DrawState{3, 0});
    CHECK_THROWS_AS(sampler.set_state(estimator->state()), c10::ValueError);
    for (const auto& other : all) {
      if (other == estimator) {
        CHECK_NOTHROW(estimator->set_state(other->state()));
      } else {
        CHECK_THROWS_AS(estimator->set_state(other->state()), c10::ValueError);
      }
    }
    estimator->set_state({5, 6});
    CHECK(estimator->state() == DrawState{5, 6});
    estimator->set_state({3, 0});
  }
}
