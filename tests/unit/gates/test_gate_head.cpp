// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/gate_head.hpp>
#include <gatedpaths/gates/stream_seed.hpp>

#include <gatedpaths/gates/gated_branch.hpp>
#include "src/random/counter_random.hpp"

#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "support/autocast.hpp"
#include "support/catch.hpp"
#include "support/counting_child.hpp"
#include "support/errors.hpp"
#include "support/finite_difference.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::DrawState;
using gatedpaths::GatedBranch;
using gatedpaths::GatedBranchOptions;
using gatedpaths::GateDecision;
using gatedpaths::GateHead;
using gatedpaths::GateHeadImpl;
using gatedpaths::GateHeadOptions;
using gatedpaths::Skip;
using gatedpaths::detail::CounterRandom;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::all_defined;
using gatedpaths::test::all_zero;
using gatedpaths::test::Autocast;
using gatedpaths::test::bit_equal;
using gatedpaths::test::FunctionChild;
using gatedpaths::test::gradient_error;
using gatedpaths::test::gradients_of;
using gatedpaths::test::largest_difference;
using gatedpaths::test::message_of;
using gatedpaths::test::random_stream;
using torch::nn::Linear;

namespace {

using Set = std::vector<int64_t>;

GateHead gate_head(const GateHeadOptions& options) {
  torch::manual_seed(41);
  return GateHead(options);
}

// A gate whose logit is `logit` for every input.
GateHead constant_gate(double logit, GateHeadOptions options) {
  GateHead gate(options);
  const torch::NoGradGuard no_grad;
  gate->decide->weight.zero_();
  gate->decide->bias.fill_(logit);
  return gate;
}

// A decision in training as if it had fallen so.
GateDecision training_decision(const std::vector<int64_t>& open) {
  GateDecision decision;
  decision.open = torch::tensor(open, torch::kLong).to(torch::kBool);
  decision.weight = decision.open.to(torch::kDouble).requires_grad_();
  decision.training = true;
  return decision;
}

}  // namespace

TEST_CASE(
    "GateHead: decides for each sample and gate", "[gate_head][forward]") {
  const bool training = GENERATE(true, false);
  auto one = gate_head(GateHeadOptions(3));
  auto four = gate_head(GateHeadOptions(3, 4).hidden(5));
  one->train(training);
  four->train(training);
  CHECK(four->reduce->weight.sizes() == torch::IntArrayRef({5, 3}));
  const auto image = torch::randn({6, 3, 4, 4});
  for (const auto& features : {image, image.mean({2, 3}), image.flatten(2)}) {
    const auto decision = one->forward(features);
    CHECK(decision.open.sizes() == torch::IntArrayRef({6}));
    CHECK(decision.open.scalar_type() == torch::kBool);
    CHECK(decision.weight.sizes() == torch::IntArrayRef({6}));
    CHECK(bit_equal(decision.weight, decision.open.to(torch::kFloat)));
    CHECK(decision.training == training);
    CHECK(decision.weight.requires_grad() == training);
    const auto many = four->forward(features);
    CHECK(many.open.sizes() == torch::IntArrayRef({6, 4}));
    CHECK(bit_equal(many.gate(2).open, many.open.select(1, 2)));
    CHECK(bit_equal(many.gate(2).weight, many.weight.select(1, 2)));
    CHECK(bit_equal(many.gate(2).probability, many.probability.select(1, 2)));
    CHECK(many.gate(2).training == training);
  }
  CHECK(one->forward(image.narrow(0, 0, 0)).open.size(0) == 0);
  CHECK(
      largest_difference(
          one->forward(image).probability,
          one->forward(image.mean({2, 3})).probability) < 1e-6);
  const Autocast autocast;
  CHECK(one->forward(image).weight.scalar_type() == torch::kFloat);
}

TEST_CASE(
    "GateHead: in eval a threshold decides and nothing is drawn",
    "[gate_head][random]") {
  auto gate = gate_head(GateHeadOptions(3).threshold(0.45).seed(4));
  gate->eval();
  const auto x = torch::randn({50, 3});
  const auto stream = random_stream();
  const auto decision = gate->forward(x);
  CHECK(bit_equal(decision.open, decision.probability > 0.45));
  CHECK(bit_equal(gate->forward(x).open, decision.open));
  CHECK(gate->draw_state() == DrawState{4, 0});
  CHECK(bit_equal(random_stream(), stream));
  auto never = constant_gate(5, GateHeadOptions(3).threshold(1));
  never->eval();
  CHECK(all_zero(never->forward(x).open));
}

TEST_CASE(
    "GateHead: in training a gate opens with its probability",
    "[gate_head][random]") {
  constexpr int64_t kDraws = 20000;
  const double logit = GENERATE(-2.0, 0.0, 0.7);
  const double temperature = GENERATE(0.3, 3.0);
  auto gate =
      constant_gate(logit, GateHeadOptions(1).temperature(temperature).seed(5));
  const auto stream = random_stream();
  const auto decision = gate->forward(torch::ones({kDraws, 1}));
  CHECK(bit_equal(random_stream(), stream));
  const double p = 1 / (1 + std::exp(-logit));
  CHECK(std::abs(decision.probability[0].item<double>() - p) < 1e-6);
  const double sd = std::sqrt(p * (1 - p) / kDraws);
  CHECK(std::abs(decision.weight.mean().item<double>() - p) < 4 * sd);
}

TEST_CASE(
    "GateHead: the gradient of a weight is that of the soft gate",
    "[gate_head][backward]") {
  constexpr double kTemperature = 0.8;
  auto gate =
      gate_head(GateHeadOptions(3, 2).temperature(kTemperature).seed(6));
  gate->to(torch::kDouble);
  const auto x = torch::randn({4, 3, 2}, torch::kDouble).requires_grad_();
  const auto noise = torch::empty({4, 2}, torch::kDouble);
  CounterRandom random(gatedpaths::stream_seed(6, "GateHead"), 0, 0);
  for (int64_t i = 0; i < noise.numel(); ++i) {
    const double u = random.uniform();
    noise.view({-1})[i] = std::log(u / (1 - u));
  }
  const auto upstream = torch::randn({4, 2}, torch::kDouble);
  const auto soft_loss = [&] {
    const auto logits =
        gate->decide->forward(gate->reduce->forward(x.mean(2)).relu());
    return (torch::sigmoid((logits + noise) / kTemperature) * upstream).sum();
  };
  const auto decision = gate->forward(x);
  CHECK(bit_equal(decision.weight.detach(), decision.open.to(torch::kDouble)));
  (decision.weight * upstream).sum().backward();
  CHECK(gradient_error(soft_loss, x) < 1e-8);
  for (const auto& parameter : gate->parameters()) {
    CHECK(gradient_error(soft_loss, parameter) < 1e-8);
  }
}

TEST_CASE(
    "GateHead: noise is a function of seed and step", "[gate_head][random]") {
  auto gate = gate_head(GateHeadOptions(3).seed(8));
  const auto x = torch::randn({40, 3});
  gate->forward(x);
  const auto state = gate->draw_state();
  CHECK(state == DrawState{8, 1});
  const auto second = gate->forward(x).open;
  const auto third = gate->forward(x).open;
  CHECK_FALSE(bit_equal(second, third));
  gate->set_draw_state(state);
  CHECK(bit_equal(gate->forward(x).open, second));
  CHECK(bit_equal(gate->forward(x).open, third));
}

TEST_CASE(
    "GateDecision: in training all samples run and closed rows are zeros",
    "[gate_head][forward][backward]") {
  Linear linear(3, 2);
  linear->to(torch::kDouble);
  GatedBranch branch(linear);
  branch->set_open(false);  // the decision alone counts
  const auto x = torch::randn({4, 3}, torch::kDouble).requires_grad_();
  const auto decision = training_decision({1, 0, 0, 1});
  const auto output = decision.run(branch, x);
  CHECK(branch->ran_samples() == Set{0, 1, 2, 3});
  CHECK(all_zero(output.narrow(0, 1, 2)));
  const auto whole = linear->forward(x);
  CHECK(bit_equal(output[0], whole[0]));
  CHECK(bit_equal(output[3], whole[3]));

  const auto upstream = torch::randn_like(output);
  output.backward(upstream);
  // Closed rows included: what they would have given teaches the gate.
  CHECK(
      largest_difference(
          decision.weight.grad(), (upstream * whole.detach()).sum(1)) < 1e-12);
  CHECK(all_zero(x.grad().narrow(0, 1, 2)));
  CHECK(
      largest_difference(
          x.grad()[3], upstream[3].matmul(linear->weight.detach())) < 1e-12);
  const auto loss = [&] { return (decision.run(branch, x) * upstream).sum(); };
  CHECK(gradient_error(loss, x) < 1e-8);
  CHECK(gradient_error(loss, linear->weight) < 1e-8);
}

TEST_CASE(
    "GateDecision: in eval only open samples run", "[gate_head][forward]") {
  FunctionChild child([](const torch::Tensor& input) { return input * 2; });
  GatedBranch branch(child);
  auto gate = gate_head(GateHeadOptions(3));
  gate->eval();
  const auto x = torch::randn({30, 3});
  const auto decision = gate->forward(x);
  const auto open = decision.open.sum().item<int64_t>();
  REQUIRE(0 < open);
  REQUIRE(open < 30);
  const auto output = decision.run(branch, x);
  CHECK(child->log.size() == 1);
  CHECK(child->log.with(open) == 1);
  CHECK(bit_equal(
      output,
      torch::where(decision.open.unsqueeze(1), x * 2, torch::zeros_like(x))));
}

TEST_CASE(
    "GateDecision: a NaN of a closed sample stays out of the result",
    "[gate_head][forward]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  GatedBranch branch(torch::nn::Identity{});
  const auto x = torch::tensor({{nan}, {1.0}}).requires_grad_();
  const auto output = training_decision({0, 1}).run(branch, x);
  CHECK(all_zero(output[0]));
  output.sum().backward();
  CHECK(all_zero(x.grad()[0]));
}

TEST_CASE("GateHead: trains end to end", "[gate_head][backward]") {
  auto gate = gate_head(GateHeadOptions(3).seed(1));
  GatedBranch branch(Linear(3, 3));
  const auto x = torch::randn({16, 3});
  (x + gate->forward(x).run(branch, x)).square().mean().backward();
  CHECK(all_defined(gradients_of(*gate)));
  CHECK(all_defined(gradients_of(*branch)));
}

TEST_CASE(
    "GateHead: a clone is deep and draws the same", "[gate_head][clone]") {
  auto gate = gate_head(GateHeadOptions(3, 2).seed(3));
  const auto x = torch::randn({20, 3});
  gate->forward(x);
  gate->reduce->bias.set_requires_grad(false);
  gate->decide->eval();
  const auto stream = random_stream();
  const auto copy = std::dynamic_pointer_cast<GateHeadImpl>(gate->clone());
  CHECK(bit_equal(random_stream(), stream));
  CHECK(all_bit_equal(copy->parameters(), gate->parameters()));
  CHECK(copy->parameters()[0].data_ptr() != gate->parameters()[0].data_ptr());
  CHECK_FALSE(copy->reduce->bias.requires_grad());
  CHECK_FALSE(copy->decide->is_training());
  CHECK(copy->reduce->is_training());
  CHECK(copy->draw_state() == gate->draw_state());
  CHECK(bit_equal(copy->forward(x).open, gate->forward(x).open));
}

TEST_CASE("GateHead: is saved and loaded", "[gate_head][serialize]") {
  auto gate = gate_head(GateHeadOptions(3));
  GateHead other(GateHeadOptions(3));
  std::stringstream stream;
  torch::save(gate, stream);
  torch::load(other, stream);
  CHECK(all_bit_equal(other->parameters(), gate->parameters()));
  CHECK(other->named_parameters().contains("reduce.weight"));
  CHECK(other->named_parameters().contains("decide.bias"));
}

TEST_CASE(
    "GateHead: a closed branch around it leaves its noise as it was",
    "[gate_head][random]") {
  struct Router : torch::nn::Module {
    Router() { register_module("gate", gate); }
    torch::Tensor forward(const torch::Tensor& x) {
      return gate->forward(x).weight;
    }
    GateHead gate = GateHead(GateHeadOptions(3).seed(4));
  };
  const auto router = std::make_shared<Router>();
  GatedBranch outer(router, GatedBranchOptions().skip(Skip::kNoGrad));
  outer->forward(torch::randn({2, 3}));
  outer->set_open(false);
  outer->forward(torch::randn({2, 3}));
  CHECK(router->gate->draw_state() == DrawState{4, 1});
}

TEST_CASE("GateHead: prints what it is", "[gate_head][print]") {
  std::ostringstream stream;
  gate_head(GateHeadOptions(3, 2).temperature(0.5).seed(7))
      ->pretty_print(stream);
  CHECK(
      stream.str() ==
      "gatedpaths::GateHead(channels=3, gates=2, hidden=16, temperature=0.5, "
      "threshold=0.5, seed=7)");
}

TEST_CASE("GateHead: refuses what does not fit", "[gate_head][error]") {
  const auto made = [](const GateHeadOptions& options) {
    return message_of<c10::ValueError>([&] { GateHead{options}; });
  };
  CHECK(
      made(GateHeadOptions(0)) ==
      "GateHead: expected channels of at least 1, got 0");
  CHECK(
      made(GateHeadOptions(3, 0)) ==
      "GateHead: expected gates of at least 1, got 0");
  CHECK(
      made(GateHeadOptions(3).hidden(-1)) ==
      "GateHead: expected hidden of at least 1, got -1");
  CHECK(
      made(GateHeadOptions(3).temperature(0)) ==
      "GateHead: expected a temperature above 0, got 0");
  CHECK(
      made(GateHeadOptions(3).threshold(1.5)) ==
      "GateHead: expected a threshold in [0, 1], got 1.5");

  auto gate = gate_head(GateHeadOptions(3, 2));
  const auto of_features = [&](const torch::Tensor& features) {
    return message_of<c10::ValueError>([&] { gate->forward(features); });
  };
  CHECK(
      of_features(torch::ones({2, 4, 5})) ==
      "GateHead::forward: expected features of [N, 3, ...], got [2, 4, 5]");
  CHECK(
      of_features(torch::ones({3})) ==
      "GateHead::forward: expected features of [N, 3, ...], got [3]");
  const auto decision = gate->forward(torch::ones({4, 3}));
  CHECK(message_of<c10::IndexError>([&] {
          decision.gate(2);
        }) == "GateDecision::gate: expected a gate in [0, 2), got 2");
  GatedBranch branch(torch::nn::Identity{});
  CHECK(
      message_of<c10::ValueError>(
          [&] { decision.run(branch, torch::ones({4, 3})); }) ==
      "GateDecision::run: expected a decision on one gate, got one of [4, 2]; "
      "take one by gate(index)");
  GatedBranch folding{FunctionChild(
      [](const torch::Tensor& input) { return input.narrow(0, 0, 1); })};
  CHECK(
      message_of<c10::ValueError>([&] {
        training_decision({1, 0}).run(folding, torch::ones({2, 3}));
      }) ==
      "GateDecision::run: expected an output with one row for each of the 2 "
      "samples, got [1, 3]");

  gate->options.temperature(-1);
  CHECK(
      of_features(torch::ones({4, 3})) ==
      "GateHead: expected a temperature above 0, got -1");
}

TEST_CASE(
    "GateDecision: what run weighs is differentiable any number of times",
    "[gate_head][second_order]") {
  torch::manual_seed(8);
  const auto open = torch::tensor({true, false, true});
  const auto weight =
      open.to(torch::kDouble).set_requires_grad(true);  // 1 or 0 in value
  const auto output =
      torch::randn({3, 2, 2}, torch::kDouble).set_requires_grad(true);
  const auto derivatives = [&](const torch::Tensor& weighed) {
    std::vector<torch::Tensor> all;
    auto value = (weighed + 1).sin().sum();
    for (int order = 0; order < 3; ++order) {
      const auto gradients =
          torch::autograd::grad({value}, {weight, output}, {}, true, true);
      value = gradients[0].square().sum() + (gradients[1] + 1).sin().sum();
      all.insert(all.end(), gradients.begin(), gradients.end());
    }
    return all;
  };
  const auto own =
      derivatives(gatedpaths::detail::weigh_rows(output, open, open, weight));
  const auto by_hand = derivatives(output * weight.view({3, 1, 1}));
  for (size_t i = 0; i < own.size(); ++i) {
    CAPTURE(i);
    CHECK(largest_difference(own[i], by_hand[i]) < 1e-12);
  }
  const auto value = [&] {
    const torch::AutoGradMode with_grad(true);
    const auto weighed =
        gatedpaths::detail::weigh_rows(output, open, open, weight);
    return torch::autograd::grad(
               {weighed.sin().sum()}, {weight}, {}, true, true)[0]
        .square()
        .sum();
  };
  output.mutable_grad() = torch::autograd::grad({value()}, {output})[0];
  CHECK(gradient_error(value, output) < 1e-7);
}
