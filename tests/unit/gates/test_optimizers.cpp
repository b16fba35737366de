// SPDX-License-Identifier: MIT
// What optimizers do to a branch that is closed after it was trained.
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/optimizer.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

#include <memory>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/counting_child.hpp"
#include "support/snapshot.hpp"
#include "support/wrappers.hpp"

using gatedpaths::Skip;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::all_defined;
using gatedpaths::test::bit_equal;
using gatedpaths::test::Closed;
using gatedpaths::test::copies_of;
using gatedpaths::test::gradients_of;
using gatedpaths::test::Kind;
using gatedpaths::test::none_defined;
using gatedpaths::test::Tensors;
using gatedpaths::test::Wrapper;

namespace {

std::unique_ptr<torch::optim::Optimizer> optimizer_named(
    const std::string& name, std::vector<torch::Tensor> parameters) {
  using namespace torch::optim;
  if (name == "SGD") {
    return std::make_unique<SGD>(
        std::move(parameters),
        SGDOptions(0.05).momentum(0.9).weight_decay(0.1));
  }
  if (name == "Adam") {
    return std::make_unique<Adam>(
        std::move(parameters), AdamOptions(0.01).weight_decay(0.1));
  }
  if (name == "AdamW") {
    return std::make_unique<AdamW>(
        std::move(parameters), AdamWOptions(0.01).weight_decay(0.1));
  }
  return std::make_unique<RMSprop>(
      std::move(parameters),
      RMSpropOptions(0.01).momentum(0.9).weight_decay(0.1));
}

template <class State>
Tensors moments_of(const State& state) {
  return {
      torch::tensor(state.step()),
      state.exp_avg().clone(),
      state.exp_avg_sq().clone()};
}

// Copies of all that an optimizer keeps for these parameters.
Tensors optimizer_state_of(
    torch::optim::Optimizer& optimizer, const torch::nn::Module& module) {
  using namespace torch::optim;
  Tensors all;
  for (const auto& parameter : module.parameters()) {
    const auto found = optimizer.state().find(parameter.unsafeGetTensorImpl());
    REQUIRE(found != optimizer.state().end());
    const OptimizerParamState* kept = found->second.get();
    Tensors one;
    if (const auto* sgd = dynamic_cast<const SGDParamState*>(kept)) {
      one = {sgd->momentum_buffer().clone()};
    } else if (const auto* adam = dynamic_cast<const AdamParamState*>(kept)) {
      one = moments_of(*adam);
    } else if (
        const auto* adam_w = dynamic_cast<const AdamWParamState*>(kept)) {
      one = moments_of(*adam_w);
    } else if (const auto* rms = dynamic_cast<const RMSpropParamState*>(kept)) {
      one = {
          torch::tensor(rms->step()),
          rms->square_avg().clone(),
          rms->momentum_buffer().clone()};
    }
    REQUIRE_FALSE(one.empty());
    REQUIRE(all_defined(one));
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

struct OptimizedNetImpl : torch::nn::Module {
  OptimizedNetImpl(Kind kind, Skip skip)
      : gate((torch::manual_seed(3), kind), Closed{.skip = skip}),
        head(kind == Kind::kConcatGate ? 8 : 4, 5) {
    register_module("gate", gate.module);
    register_module("head", head);
  }

  torch::Tensor forward(const torch::Tensor& input) {
    return head->forward(gate.forward(input).mean({2, 3}));
  }

  Wrapper gate;
  torch::nn::Linear head;
};
TORCH_MODULE(OptimizedNet);

}  // namespace

TEST_CASE(
    "Optimizers: a closed branch and its state do not move in 20 steps",
    "[contract][backward]") {
  const auto kind = GENERATE(
      Kind::kGatedBranch,
      Kind::kChoiceBlock,
      Kind::kConcatGate,
      Kind::kConcatSlots);
  const auto skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  const std::string name = GENERATE("SGD", "Adam", "AdamW", "RMSprop");
  CAPTURE(kind, skip, name);

  OptimizedNet net(kind, skip);
  const auto optimizer = optimizer_named(name, net->parameters());
  const auto step = [&] {
    optimizer->zero_grad();
    const auto logits = net->forward(torch::randn({4, 3, 6, 6}));
    logits.square().mean().backward();
    optimizer->step();
  };
  const auto& child = *net->gate.child;

  for (int i = 0; i < 3; ++i) {  // on
    step();
  }
  const auto parameters = copies_of(child.parameters());
  const auto buffers = copies_of(child.buffers());
  const auto state = optimizer_state_of(*optimizer, child);
  const auto head = copies_of(net->head->parameters());

  net->gate.set_open(false);  // off
  for (int i = 0; i < 20; ++i) {
    step();
    REQUIRE(none_defined(gradients_of(child)));
  }
  CHECK(all_bit_equal(child.parameters(), parameters));
  CHECK(all_bit_equal(child.buffers(), buffers));
  CHECK(all_bit_equal(optimizer_state_of(*optimizer, child), state));
  const auto head_after = net->head->parameters();
  CHECK_FALSE(bit_equal(head_after[1], head[1]));
  if (kind != Kind::kGatedBranch) {
    CHECK(all_defined(gradients_of(*net->gate.sibling)));
    CHECK(all_defined(optimizer_state_of(*optimizer, *net->gate.sibling)));
  }

  net->gate.set_open(true);  // on again
  step();
  CHECK(all_defined(gradients_of(child)));
  const auto moved = child.parameters();
  for (size_t i = 0; i < moved.size(); ++i) {
    CAPTURE(i);
    CHECK_FALSE(bit_equal(moved[i], parameters[i]));
  }
  CHECK_FALSE(all_bit_equal(optimizer_state_of(*optimizer, child), state));
}

TEST_CASE(
    "Optimizers: a branch that was never open has no state",
    "[contract][backward]") {
  const auto kind = GENERATE(
      Kind::kGatedBranch,
      Kind::kChoiceBlock,
      Kind::kConcatGate,
      Kind::kConcatSlots);
  const auto skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  CAPTURE(kind, skip);
  OptimizedNet net(kind, skip);
  net->gate.set_open(false);
  torch::optim::AdamW optimizer(net->parameters(), 0.01);
  const auto parameters = copies_of(net->gate.child->parameters());
  for (int i = 0; i < 3; ++i) {
    optimizer.zero_grad();
    net->forward(torch::randn({4, 3, 6, 6})).square().mean().backward();
    optimizer.step();
  }
  for (const auto& parameter : net->gate.child->parameters()) {
    CHECK(optimizer.state().count(parameter.unsafeGetTensorImpl()) == 0);
  }
  CHECK(all_bit_equal(net->gate.child->parameters(), parameters));
}
