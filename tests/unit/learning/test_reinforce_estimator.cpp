// SPDX-License-Identifier: MIT
#include <gatedpaths/learning/reinforce_estimator.hpp>

#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>

#include <limits>
#include <sstream>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/learned_net.hpp"
#include "support/tensors.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::GatedBranch;
using gatedpaths::PathLogits;
using gatedpaths::PathSpace;
using gatedpaths::ReinforceEstimator;
using gatedpaths::ReinforceOptions;
using gatedpaths::test::exact_gradient;
using gatedpaths::test::largest_difference;
using gatedpaths::test::LearnedNet;
using gatedpaths::test::message_of;
using gatedpaths::test::uneven_logits;
using torch::nn::Linear;

namespace {

torch::Tensor reinforce_loss(double value) {
  return torch::tensor(value, torch::kDouble);
}

}  // namespace

TEST_CASE(
    "ReinforceEstimator: the objective's gradient is the score's, weighed",
    "[reinforce_estimator][backward]") {
  LearnedNet net;
  const PathSpace space(net);
  auto logits = uneven_logits(space);
  ReinforceEstimator estimator(
      logits, space, 5, ReinforceOptions().decay(0.75));
  const auto gradient = [&](const torch::Tensor& scalar) {
    return torch::cat(torch::autograd::grad({scalar}, logits->parameters()));
  };
  auto path = estimator.apply();
  CHECK(estimator.baseline() == 0);
  CHECK(
      largest_difference(
          gradient(estimator.objective(reinforce_loss(3))),
          3 * gradient(logits->log_probability(path))) < 1e-12);
  // Another loss of this path does not see the first.
  CHECK(estimator.baseline() == 0);
  estimator.objective(reinforce_loss(5));

  path = estimator.apply();
  CHECK(estimator.baseline() == 4);
  CHECK(
      largest_difference(
          gradient(estimator.objective(reinforce_loss(2))),
          -2 * gradient(logits->log_probability(path))) < 1e-12);
  estimator.apply();
  CHECK(estimator.baseline() == 0.75 * 4 + 0.25 * 2);
  estimator.apply();  // a step without a loss
  CHECK(estimator.baseline() == 3.5);
}

TEST_CASE(
    "ReinforceEstimator: learns gates of every kind without bias",
    "[reinforce_estimator][random]") {
  torch::manual_seed(9);
  torch::nn::Sequential net(
      ConcatGate(ConcatGateOptions(1).min_open(0), Linear(2, 1), Linear(2, 1)),
      GatedBranch(Linear(2, 2)),
      ChoiceBlock(
          {{"plain", Linear(2, 2)},
           {"nested", ChoiceBlock(Linear(2, 2), Linear(2, 2))}}));
  net->to(torch::kDouble);
  const PathSpace space(net);
  auto logits = uneven_logits(space);
  const auto x = torch::randn({3, 2}, torch::kDouble);
  const auto loss = [&] {
    const torch::NoGradGuard no_grad;
    return net->forward(x).square().mean();
  };
  const auto exact = exact_gradient(logits, space, loss);
  ReinforceEstimator estimator(logits, space, 5);
  CHECK(estimator.branches_run(0) == 2);
  CHECK(estimator.branches_run(1) == 1);
  constexpr int kDraws = 1500;
  auto sum = torch::zeros_like(exact);
  auto squares = torch::zeros_like(exact);
  for (int draw = 0; draw < kDraws; ++draw) {
    estimator.apply();
    logits->zero_grad();
    estimator.objective(loss()).backward();
    estimator.finish_step();
    std::vector<torch::Tensor> gradients;
    for (const auto& parameter : logits->parameters()) {
      gradients.push_back(
          parameter.grad().defined() ? parameter.grad()
                                     : torch::zeros_like(parameter));
    }
    const auto estimate = torch::cat(gradients);
    sum += estimate;
    squares += estimate.square();
  }
  const auto mean = sum / kDraws;
  const auto error = ((squares / kDraws - mean.square()) / kDraws).sqrt();
  CHECK(((mean - exact).abs() / error).max().item<double>() < 4);
}

TEST_CASE(
    "ReinforceEstimator: the baseline is saved",
    "[reinforce_estimator][serialize]") {
  LearnedNet net;
  const PathSpace space(net);
  PathLogits logits(space);
  ReinforceEstimator estimator(logits, space, 5);
  estimator.apply();
  estimator.objective(reinforce_loss(3));
  std::stringstream stream;
  {
    torch::serialize::OutputArchive archive;
    estimator.save(archive);
    archive.save_to(stream);
  }
  ReinforceEstimator other(logits, space, 6, ReinforceOptions().decay(0.5));
  torch::serialize::InputArchive archive;
  archive.load_from(stream);
  other.load(archive);
  CHECK(other.baseline() == 3);
  other.apply();
  CHECK(other.baseline() == 3);
  other.objective(reinforce_loss(13));
  other.apply();
  CHECK(other.baseline() == Catch::Approx(4));  // the decay is the saved one
}

TEST_CASE(
    "ReinforceEstimator: errors say what is wrong",
    "[reinforce_estimator][error]") {
  LearnedNet net;
  const PathSpace space(net);
  PathLogits logits(space);
  const auto made = [&](double decay) {
    return message_of<c10::ValueError>([&] {
      ReinforceEstimator(logits, space, 5, ReinforceOptions().decay(decay));
    });
  };
  CHECK(made(1) == "ReinforceEstimator: expected a decay in [0, 1), got 1");
  CHECK(
      made(-0.5) == "ReinforceEstimator: expected a decay in [0, 1), got -0.5");

  ReinforceEstimator estimator(logits, space, 5);
  const auto objective = [&](double loss) {
    return message_of<c10::Error>(
        [&] { estimator.objective(reinforce_loss(loss)); });
  };
  const std::string no_path =
      "ReinforceEstimator::objective: expected the loss of a path of apply, "
      "got none applied since the last apply_plain or finish_step";
  CHECK(objective(1) == no_path);
  estimator.apply();
  CHECK(
      objective(std::numeric_limits<double>::quiet_NaN()) ==
      "ReinforceEstimator::objective: expected a finite loss, got nan");
  CHECK(
      objective(-std::numeric_limits<double>::infinity()) ==
      "ReinforceEstimator::objective: expected a finite loss, got -inf");
  CHECK(objective(1) == "(no error)");
  estimator.apply_plain();
  CHECK(objective(1) == no_path);
  estimator.apply();
  CHECK(estimator.baseline() == 1);
  estimator.finish_step();
  CHECK(objective(1) == no_path);
}
