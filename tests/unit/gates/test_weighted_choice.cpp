// SPDX-License-Identifier: MIT
// Forwards of a ChoiceBlock that an estimator weighs.
#include <gatedpaths/gates/choice_block.hpp>

#include <gatedpaths/gates/branch_weighting.hpp>

#include <cmath>
#include <memory>
#include <vector>

#include "support/autocast.hpp"
#include "support/catch.hpp"
#include "support/counting_child.hpp"
#include "support/errors.hpp"
#include "support/finite_difference.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::BranchWeighting;
using gatedpaths::ChoiceBlock;
using gatedpaths::ChoiceBlockOptions;
using gatedpaths::Skip;
using gatedpaths::test::Autocast;
using gatedpaths::test::bit_equal;
using gatedpaths::test::CountingChild;
using gatedpaths::test::FunctionChild;
using gatedpaths::test::gradient_error;
using gatedpaths::test::gradients_of;
using gatedpaths::test::largest_difference;
using gatedpaths::test::message_of;
using gatedpaths::test::none_defined;
using gatedpaths::test::random_stream;
using torch::nn::Linear;

namespace {

torch::Tensor weighted_logits(torch::Dtype dtype = torch::kDouble) {
  return torch::tensor({0.3, -0.2, 0.5}, dtype).set_requires_grad(true);
}

ChoiceBlock<Linear> weighted_linears() {
  torch::manual_seed(1);
  ChoiceBlock block(Linear(2, 2), Linear(2, 2), Linear(2, 2));
  block->to(torch::kDouble);
  return block;
}

std::shared_ptr<const BranchWeighting> weighting(BranchWeighting values) {
  return std::make_shared<const BranchWeighting>(std::move(values));
}

torch::Tensor weighted_input() {
  torch::manual_seed(2);
  return torch::randn({4, 2}, torch::kDouble);
}

}  // namespace

TEST_CASE(
    "ChoiceBlock: one weighted branch gives its output and the gradient of y",
    "[weighted_choice][backward]") {
  auto block = weighted_linears();
  const auto logits = weighted_logits();
  const auto noise = torch::tensor({0.1, 0.9, -0.4}, torch::kDouble);
  block->select(1);
  const auto x = weighted_input();
  const auto plain = block->forward(x).detach();
  block->set_weighting(weighting(
      {.logits = logits, .noise = noise, .temperature = 0.7, .active = 1}));
  const auto output = block->forward(x);
  CHECK(bit_equal(output, plain));
  output.square().sum().backward();

  const auto loss = [&] {
    const auto y = ((logits + noise) / 0.7).softmax(0);
    return (y[1] - y[1].detach() + 1) * (2 * plain * plain).sum();
  };
  const auto gradient = torch::autograd::grad({loss()}, {logits})[0];
  CHECK(largest_difference(logits.grad(), gradient) < 1e-12);
  CHECK(none_defined(gradients_of(*block->branch(0))));
  CHECK_FALSE(none_defined(gradients_of(*block->branch(1))));
  CHECK(none_defined(gradients_of(*block->branch(2))));
  CHECK(block->ran_branches() == c10::IntArrayRef({1}));
}

TEST_CASE(
    "ChoiceBlock: the second weighted branch runs without a trace",
    "[weighted_choice][backward]") {
  const Skip skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  CAPTURE(skip);
  torch::manual_seed(3);
  std::vector<CountingChild> children(3);
  ChoiceBlock block(
      ChoiceBlockOptions().skip(skip), children[0], children[1], children[2]);
  const auto logits = weighted_logits(torch::kFloat);
  const auto x = torch::randn({4, 3, 5, 5});
  const auto buffers = gatedpaths::test::copies_of(children[2]->buffers());

  torch::manual_seed(4);
  const auto plain = children[0]->forward(x).detach();
  const auto stream = random_stream();
  children[0]->log.clear();

  torch::manual_seed(4);
  block->set_weighting(weighting({.logits = logits, .active = 0, .other = 2}));
  const auto output = block->forward(x);
  CHECK(bit_equal(random_stream(), stream));
  // Batch norm's second forward normalises by the batch as the first did.
  CHECK(bit_equal(output, plain));
  output.square().sum().backward();

  CHECK(children[0]->log.size() == 1);
  CHECK(children[1]->log.size() == 0);
  REQUIRE(children[2]->log.size() == 1);
  CHECK_FALSE(children[2]->log.last().grad_mode);
  CHECK_FALSE(children[2]->keeps_activation());
  CHECK(gatedpaths::test::all_bit_equal(children[2]->buffers(), buffers));
  CHECK(none_defined(gradients_of(*children[2])));
  CHECK(block->ran_branches() == c10::IntArrayRef({0}));

  // Opposite gradients for the two, none for the others.
  const auto gradient = logits.grad();
  CHECK(gradient[1].item<float>() == 0);
  CHECK(gradient[0].item<float>() != 0);
  CHECK(std::abs((gradient[0] + gradient[2]).item<float>()) < 1e-4);
}

TEST_CASE(
    "ChoiceBlock: the second weighted branch sees the input as it was",
    "[weighted_choice][backward]") {
  const auto gradient = [](bool in_place) {
    ChoiceBlock block(
        FunctionChild([in_place](const torch::Tensor& x) {
          return in_place ? x.mul_(2) : x * 2;
        }),
        FunctionChild([](const torch::Tensor& x) { return x * 5; }));
    const auto logits = torch::zeros({2}).set_requires_grad(true);
    block->set_weighting(
        weighting({.logits = logits, .active = 0, .other = 1}));
    block->forward(torch::ones({3})).sum().backward();
    return logits.grad();
  };
  const auto expected = gradient(false);
  CHECK(expected[0].item<float>() == -expected[1].item<float>());
  CHECK(expected[0].item<float>() != 0);
  CHECK(bit_equal(gradient(true), expected));
}

TEST_CASE(
    "ChoiceBlock: no second branch runs where no gradient is wanted",
    "[weighted_choice][forward]") {
  torch::manual_seed(3);
  std::vector<CountingChild> children(2);
  ChoiceBlock block(children[0], children[1]);
  auto logits = torch::zeros({2}).set_requires_grad(true);
  block->set_weighting(weighting({.logits = logits, .active = 0, .other = 1}));
  const auto x = torch::randn({4, 3, 5, 5});
  {
    const torch::NoGradGuard no_grad;
    block->forward(x);
  }
  logits.set_requires_grad(false);
  block->forward(x).sum().backward();
  block->eval();
  logits.set_requires_grad(true);
  CHECK_FALSE(gatedpaths::test::reaches(block->forward(x), logits));
  CHECK(children[0]->log.size() == 3);
  CHECK(children[1]->log.size() == 0);
}

TEST_CASE(
    "ChoiceBlock: the mixture is the weighted sum of all branches",
    "[weighted_choice][backward]") {
  auto block = weighted_linears();
  const auto logits = weighted_logits();
  const auto x = weighted_input();
  const auto weights = logits.softmax(0).detach();
  torch::Tensor expected = torch::zeros({4, 2}, torch::kDouble);
  for (int64_t i = 0; i < 3; ++i) {
    expected = expected + weights[i] * block->branch(i)->forward(x);
  }
  block->set_weighting(weighting({.logits = logits}));
  const auto loss = [&] { return block->forward(x).square().sum(); };
  CHECK(largest_difference(block->forward(x), expected) < 1e-12);
  loss().backward();
  CHECK(gradient_error(loss, logits) < 1e-7);
  for (const auto& parameter : block->parameters()) {
    CHECK(gradient_error(loss, parameter) < 1e-7);
  }
  CHECK(block->ran_branches() == c10::IntArrayRef({0, 1, 2}));
  block->eval();
  CHECK(bit_equal(block->forward(x), block->branch(0)->forward(x)));
}

TEST_CASE(
    "ChoiceBlock: several forwards of one weighting add up",
    "[weighted_choice][backward]") {
  auto block = weighted_linears();
  const auto logits = weighted_logits();
  const auto x = weighted_input();
  block->set_weighting(weighting({.logits = logits, .active = 0}));
  block->forward(x).sum().backward();
  const auto once = logits.grad().clone();
  block->forward(x).sum().backward();
  CHECK(largest_difference(logits.grad(), 2 * once) < 1e-12);
}

TEST_CASE(
    "ChoiceBlock: infinite outputs stay, weighted or not",
    "[weighted_choice][forward]") {
  const auto big = [](double value) {
    return FunctionChild([value](const torch::Tensor& x) { return x * value; });
  };
  ChoiceBlock block(big(INFINITY), big(1));
  block->select(1);
  const auto logits = torch::zeros({2}).set_requires_grad(true);
  block->set_weighting(weighting({.logits = logits, .active = 1, .other = 0}));
  const auto x = torch::ones({2});
  CHECK(bit_equal(block->forward(x), x));
  block->select(0);
  block->set_weighting(weighting({.logits = logits, .active = 0}));
  CHECK(bit_equal(block->forward(x), torch::full({2}, INFINITY)));
}

TEST_CASE(
    "ChoiceBlock: weighted outputs keep their dtype",
    "[weighted_choice][forward]") {
  torch::manual_seed(5);
  const auto x = torch::randn({2, 4});
  const auto logits = torch::zeros({2}).set_requires_grad(true);
  const BranchWeighting weightings[] = {
      {.logits = logits, .active = 0, .other = 1}, {.logits = logits}};
  for (const BranchWeighting& values : weightings) {
    ChoiceBlock block(Linear(4, 4), Linear(4, 4));
    block->set_weighting(weighting(values));
    {
      const Autocast autocast;
      CHECK(block->forward(x).scalar_type() == torch::kBFloat16);
    }
    block->to(torch::kBFloat16);
    const auto output = block->forward(x.to(torch::kBFloat16));
    CHECK(output.scalar_type() == torch::kBFloat16);
    output.sum().backward();
    CHECK(logits.grad().scalar_type() == torch::kFloat);
  }
}

TEST_CASE("ChoiceBlock: a clone is not weighted", "[weighted_choice][clone]") {
  auto block = weighted_linears();
  block->set_weighting(weighting({.logits = weighted_logits(), .active = 0}));
  const auto copy =
      std::dynamic_pointer_cast<gatedpaths::ChoiceBlockBase>(block->clone());
  CHECK(copy->weighting() == nullptr);
  CHECK(block->weighting() != nullptr);
}

TEST_CASE(
    "ChoiceBlock: another path during a weighted step is an error",
    "[weighted_choice][error]") {
  auto block = weighted_linears();
  block->set_weighting(weighting({.logits = weighted_logits(), .active = 0}));
  block->select(2);
  CHECK(
      message_of<c10::Error>([&] { block->forward(weighted_input()); }) ==
      "ChoiceBlock::forward: expected branch 0 open, as the estimator applied "
      "it, got [2]; end its step (finish_step) before another path is applied");
  block->eval();
  CHECK_NOTHROW(block->forward(weighted_input()));

  block->train();
  block->set_weighting(weighting({.logits = weighted_logits()}));
  CHECK_NOTHROW(block->forward(weighted_input()));
  block->select(2);  // the same again, as an optimizer applies it
  CHECK_NOTHROW(block->forward(weighted_input()));
  block->select(1);
  CHECK(
      message_of<c10::Error>([&] { block->forward(weighted_input()); }) ==
      "ChoiceBlock::forward: expected [2] open, as when the mixture of all "
      "branches was set, got [1]; end its step (finish_step) before another "
      "path is applied");
  CHECK(block->open_branches() == c10::IntArrayRef({1}));
  block->eval();
  CHECK(bit_equal(
      block->forward(weighted_input()),
      block->branch(1)->forward(weighted_input())));
  block->train();
  block->set_weighting(nullptr);
  CHECK(bit_equal(
      block->forward(weighted_input()),
      block->branch(1)->forward(weighted_input())));
}
