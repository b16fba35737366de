// SPDX-License-Identifier: MIT
// The bookkeeping of a step where gates are left out of the space.
#include <gatedpaths/depth/layer_drop.hpp>
#include <gatedpaths/depth/stochastic_depth.hpp>
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/draw_states.hpp>
#include <gatedpaths/paths/uniform_sampler.hpp>
#include <gatedpaths/training/open_optimizer.hpp>

#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "support/catch.hpp"
#include "support/tensors.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::LayerDrop;
using gatedpaths::OpenOptimizer;
using gatedpaths::PathSpace;
using gatedpaths::StochasticDepth;
using gatedpaths::test::bit_equal;
using torch::nn::Linear;

namespace {

// Drops around a choice, inside of one, and beside.
struct StepDropsImpl : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& x) {
    return layers->forward(stem->forward(x));
  }

  static StochasticDepth<Linear> dropped_linear() {
    return {
        Linear(3, 3),
        gatedpaths::StochasticDepthOptions(0.5).mode(
            gatedpaths::DropMode::kBatch)};
  }

  ChoiceBlock<> stem = register_module(
      "stem", ChoiceBlock<>({{"a", dropped_linear()}, {"b", Linear(3, 3)}}));
  LayerDrop<> layers = register_module(
      "layers",
      LayerDrop<>(
          gatedpaths::LayerDropOptions(0.5),
          {{"first", Linear(3, 3)},
           {"choice", ChoiceBlock(Linear(3, 3), Linear(3, 3))},
           {"last", dropped_linear()}}));
};
TORCH_MODULE(StepDrops);

std::vector<torch::Tensor> trained_with_drops(bool open_only) {
  torch::manual_seed(6);
  StepDrops net;
  gatedpaths::seed_draws(net, 5);
  const PathSpace space(net);
  CHECK(space.num_gates() == 2);
  gatedpaths::UniformSampler sampler(space, 5);
  torch::optim::SGD sgd(
      net->parameters(),
      torch::optim::SGDOptions(0.05).momentum(0.9).weight_decay(0.01));
  std::optional<OpenOptimizer> steps;
  if (open_only) {
    steps.emplace(net, space, sgd);
  }
  for (int step = 0; step < 40; ++step) {
    const auto path = sampler.next();
    open_only ? steps->apply(path) : space.apply(path);
    open_only ? steps->zero_grad() : sgd.zero_grad();
    const auto loss = net->forward(torch::ones({2, 3})).square().sum();
    if (loss.requires_grad()) {
      loss.backward();
    }
    open_only ? steps->step() : sgd.step();
  }
  return net->parameters();
}

}  // namespace

TEST_CASE(
    "OpenOptimizer: steps what gates outside of the space draw",
    "[open_optimizer]") {
  const auto plain = trained_with_drops(false);
  const auto open = trained_with_drops(true);
  REQUIRE(open.size() == plain.size());
  for (size_t i = 0; i < plain.size(); ++i) {
    CHECK(bit_equal(open[i], plain[i]));
  }
}
