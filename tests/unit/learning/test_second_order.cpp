// SPDX-License-Identifier: MIT
// Gradients of the estimators' gradients, as unrolled steps take them, and what
// follows an armed block in place.
#include <gatedpaths/learning/gumbel_estimator.hpp>
#include <gatedpaths/learning/reinforce_estimator.hpp>
#include <gatedpaths/learning/two_path_estimator.hpp>

#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/linear.h>

#include <memory>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/estimators.hpp"
#include "support/finite_difference.hpp"
#include "support/learned_net.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::GumbelEstimator;
using gatedpaths::GumbelOptions;
using gatedpaths::PathEstimator;
using gatedpaths::PathLogits;
using gatedpaths::PathSpace;
using gatedpaths::ReinforceEstimator;
using gatedpaths::TwoPathEstimator;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::all_estimators;
using gatedpaths::test::copies_of;
using gatedpaths::test::gradient_error;
using gatedpaths::test::gradients_of;
using gatedpaths::test::largest_difference;
using gatedpaths::test::LearnedNet;
using gatedpaths::test::make_estimator;
using gatedpaths::test::message_of;
using gatedpaths::test::Tensors;
using gatedpaths::test::uneven_logits;

namespace {

std::unique_ptr<PathEstimator> sharp_estimator(
    const std::string& name, const PathLogits& logits, const PathSpace& space) {
  return make_estimator(
      name, logits, space, /*seed=*/5, GumbelOptions().temperature(0.7));
}

// One number of the estimate: its product with fixed numbers, with a graph.
torch::Tensor estimate_number(
    PathEstimator& estimator, LearnedNet& net, const PathLogits& logits) {
  const torch::AutoGradMode with_grad(true);
  const auto gradients = torch::autograd::grad(
      {estimator.objective(net.square_loss())},
      logits->parameters(),
      {},
      /*retain_graph=*/true,
      /*create_graph=*/true);
  torch::Tensor sum = torch::zeros({}, torch::kDouble);
  for (const auto& gradient : gradients) {
    sum = sum + (gradient * torch::linspace(1, 2, 3, torch::kDouble)).sum();
  }
  return sum;
}

void set_zero_gradients(const Tensors& parameters) {
  for (const auto& parameter : parameters) {
    parameter.mutable_grad() = torch::zeros_like(parameter);
  }
}

// A block's output times its weight as plain operators have it: 1 in value.
torch::Tensor weighed_by_hand(
    ChoiceBlock<torch::nn::Linear>& block, const torch::Tensor& input) {
  const auto& weighting = *block->weighting();
  const auto weight = weighting.weights();
  return (weight + (1 - weight).detach()) *
         block->branch(weighting.active)->forward(input);
}

}  // namespace

TEST_CASE(
    "PathEstimator: the gradient of an estimate agrees with its differences",
    "[path_estimator][second_order]") {
  const std::string name =
      GENERATE("GumbelEstimator", "MixtureEstimator", "ReinforceEstimator");
  CAPTURE(name);
  LearnedNet net;
  const PathSpace space(net);
  auto logits = uneven_logits(space);
  const auto estimator = sharp_estimator(name, logits, space);
  for (int step = 0; step < 3; ++step) {
    estimator->apply();
    set_zero_gradients(net.parameters());
    set_zero_gradients(logits->parameters());
    const auto value = [&] { return estimate_number(*estimator, net, logits); };
    value().backward();
    double largest = 0;
    for (const auto& parameter : net.parameters()) {
      largest = std::max(largest, parameter.grad().abs().max().item<double>());
      CHECK(gradient_error(value, parameter) < 1e-7);
    }
    CHECK(largest > 1e-3);
    if (name == "GumbelEstimator") {
      continue;  // the next test: its weight stands in for a step function
    }
    for (const auto& parameter : logits->parameters()) {
      CHECK(gradient_error(value, parameter) < 1e-7);
    }
  }
}

TEST_CASE(
    "GumbelEstimator: all second derivatives are those of the weighed output",
    "[gumbel_estimator][second_order]") {
  LearnedNet net;
  const PathSpace space(net);
  auto logits = uneven_logits(space);
  GumbelEstimator estimator(logits, space, 5);
  for (int step = 0; step < 3; ++step) {
    estimator.apply();
    const auto derivatives = [&](const torch::Tensor& loss) {
      Tensors inputs = logits->parameters();
      for (auto* block : {&net.first, &net.second}) {
        const int64_t active = (*block)->open_branches().front();
        inputs.push_back((*block)->branch(active)->weight);
        inputs.push_back((*block)->branch(active)->bias);
      }
      auto first = torch::autograd::grad({loss}, inputs, {}, true, true);
      torch::Tensor sum = torch::zeros({}, torch::kDouble);
      for (const auto& gradient : first) {
        sum = sum + gradient.pow(3).sum();
      }
      auto second = torch::autograd::grad({sum}, inputs, {}, true, true);
      sum = torch::zeros({}, torch::kDouble);
      for (const auto& gradient : second) {
        sum = sum + gradient.square().sum();
      }
      const auto third = torch::autograd::grad({sum}, inputs);
      first.insert(first.end(), second.begin(), second.end());
      first.insert(first.end(), third.begin(), third.end());
      return first;
    };
    const auto own = derivatives(net.square_loss());
    const auto by_hand = derivatives(
        (weighed_by_hand(
             net.second, weighed_by_hand(net.first, net.input).tanh()) -
         net.target)
            .square()
            .mean());
    REQUIRE(own.size() == by_hand.size());
    for (size_t i = 0; i < own.size(); ++i) {
      CAPTURE(i);
      CHECK(largest_difference(own[i], by_hand[i]) < 1e-12);
    }
  }
}

TEST_CASE(
    "PathEstimator: a graph of the gradient does not change its bits",
    "[path_estimator][second_order]") {
  const std::string name = GENERATE(all_estimators());
  CAPTURE(name);
  LearnedNet net;
  const PathSpace space(net);
  auto logits = uneven_logits(space);
  const auto estimator = sharp_estimator(name, logits, space);
  estimator->apply();
  auto inputs = net.parameters();
  for (const auto& parameter : logits->parameters()) {
    inputs.push_back(parameter);
  }
  const auto gradients = [&](bool with_graph) {
    return copies_of(torch::autograd::grad(
        {estimator->objective(net.square_loss())},
        inputs,
        {},
        /*retain_graph=*/true,
        with_graph,
        /*allow_unused=*/true));
  };
  CHECK(all_bit_equal(gradients(false), gradients(true)));
}

TEST_CASE(
    "TwoPathEstimator: says that its gradient is differentiable once",
    "[two_path_estimator][second_order][error]") {
  LearnedNet net;
  const PathSpace space(net);
  auto logits = uneven_logits(space);
  TwoPathEstimator estimator(logits, space, 5);
  estimator.apply();
  CHECK(
      message_of<c10::Error>(
          [&] { estimate_number(estimator, net, logits).backward(); }) ==
      "TwoPathEstimator: trying to differentiate twice a gradient of logits "
      "that can be differentiated only once, since the second branch ran "
      "without a graph; choose GumbelEstimator, MixtureEstimator or "
      "ReinforceEstimator");
  SECTION("the network's own gradient any number of times") {
    const auto x = net.input.detach().clone().requires_grad_();
    const auto penalty = [&] {
      const torch::AutoGradMode with_grad(true);
      return torch::autograd::grad(
                 {net.forward(x).square().sum()}, {x}, {}, true, true)[0]
          .square()
          .sum();
    };
    const auto& weight =
        net.first->branch(net.first->open_branches().front())->weight;
    weight.mutable_grad() = torch::autograd::grad({penalty()}, {weight})[0];
    CHECK(gradient_error(penalty, weight) < 1e-5);
  }
}

TEST_CASE(
    "ReinforceEstimator: leaves the network alone unless differentiated twice",
    "[reinforce_estimator][second_order]") {
  LearnedNet net;
  const PathSpace space(net);
  auto logits = uneven_logits(space);
  ReinforceEstimator estimator(logits, space, 5);
  estimator.apply();
  auto loss = net.square_loss();
  const auto objective = estimator.objective(loss);
  SECTION("no gradient") {
    objective.backward({}, /*retain_graph=*/true);
    CHECK(gatedpaths::test::none_defined(gradients_of(net)));
    loss.backward();  // a step of the weights from the same forward
    CHECK_FALSE(gatedpaths::test::none_defined(gradients_of(net)));
  }
  SECTION("a loss that was changed meanwhile") {
    loss.mul_(2);
    objective.backward({}, /*retain_graph=*/true);
    CHECK_THROWS_AS(
        torch::autograd::grad(
            {objective}, logits->parameters(), {}, true, true),
        c10::Error);
  }
}

TEST_CASE(
    "PathEstimator: what follows a block may change its output in place",
    "[path_estimator][backward]") {
  const std::string name = GENERATE(all_estimators());
  const std::string kind = GENERATE("linear", "tanh", "identity");
  CAPTURE(name, kind);
  torch::manual_seed(3);
  using torch::nn::Linear;
  ChoiceBlock<> block =
      kind == "linear"
          ? ChoiceBlock<>({{"a", Linear(2, 2)}, {"b", Linear(2, 2)}})
      : kind == "tanh"
          ? ChoiceBlock<>({{"a", torch::nn::Tanh()}, {"b", torch::nn::Tanh()}})
          : ChoiceBlock<>(
                {{"a", torch::nn::Identity()}, {"b", torch::nn::Identity()}});
  const PathSpace space(block);
  PathLogits logits(space);
  const auto estimator = sharp_estimator(name, logits, space);
  estimator->apply();
  const auto x = torch::randn({4, 2});
  const auto run = [&](bool in_place) {
    logits->zero_grad();
    block->zero_grad();
    auto input = x.clone();
    auto y = block->forward(input);
    y = in_place ? y.mul_(2).relu_() : (y * 2).relu();
    estimator->objective(y.square().sum()).backward();
    auto all = copies_of(gradients_of(*block));
    const auto of_logits = copies_of(gradients_of(*logits));
    all.insert(all.end(), of_logits.begin(), of_logits.end());
    return all;
  };
  const auto expected = run(false);
  CHECK(all_bit_equal(run(true), expected));
}

TEST_CASE(
    "PathEstimator: a block's input may be changed in place behind it",
    "[path_estimator][backward]") {
  const std::string name = GENERATE("GumbelEstimator", "TwoPathEstimator");
  CAPTURE(name);
  ChoiceBlock<> block(
      {{"a", torch::nn::Identity()}, {"b", torch::nn::Identity()}});
  const PathSpace space(block);
  PathLogits logits(space);
  const auto estimator = sharp_estimator(name, logits, space);
  estimator->apply();
  torch::manual_seed(4);
  const auto x = torch::randn({4, 2});
  const auto run = [&](bool in_place) {
    logits->zero_grad();
    auto input = x.clone();
    const auto y = block->forward(input);
    const auto sum = in_place ? input.add_(y) : input + y;
    (sum * torch::arange(8).view({4, 2})).sum().backward();
    return copies_of(gradients_of(*logits));
  };
  const auto expected = run(false);
  CHECK(all_bit_equal(run(true), expected));
}
