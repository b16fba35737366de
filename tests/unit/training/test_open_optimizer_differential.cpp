// SPDX-License-Identifier: MIT
// Random networks, paths and steps, held against the optimizer's own calls on
// the same parameter lists.
#include <gatedpaths/training/open_optimizer.hpp>

#include <gatedpaths/depth/layer_drop.hpp>
#include <gatedpaths/depth/stochastic_depth.hpp>
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/paths/uniform_sampler.hpp>
#include <gatedpaths/slots/slot_linear.hpp>

#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/optimizer_state.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::AnyBranch;
using gatedpaths::ChoiceBlock;
using gatedpaths::ChoiceBlockOptions;
using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::GatedBranch;
using gatedpaths::LayerDrop;
using gatedpaths::LayerDropOptions;
using gatedpaths::NamedBranch;
using gatedpaths::OpenOptimizer;
using gatedpaths::PathSpace;
using gatedpaths::SlotLinear;
using gatedpaths::SlotLinearOptions;
using gatedpaths::StochasticDepth;
using gatedpaths::StochasticDepthOptions;
using gatedpaths::UniformSampler;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::gradients_of;
using gatedpaths::test::optimizer_state;
using gatedpaths::test::Tensors;

namespace {

using torch::nn::Linear;
using Groups = std::vector<torch::optim::OptimizerParamGroup>;
using OptimizerPtr = std::unique_ptr<torch::optim::Optimizer>;

constexpr int64_t kWidth = 4;

class StepDice {
 public:
  explicit StepDice(uint64_t seed) : engine_(seed) {}
  uint64_t below(uint64_t bound) { return engine_() % bound; }
  bool chance(double probability) {
    return static_cast<double>(engine_() >> 11U) * 0x1p-53 < probability;
  }

 private:
  std::mt19937_64 engine_;
};

// A concatenation and the layer on its slots.
struct SlotStageImpl : torch::nn::Module {
  SlotStageImpl(const std::vector<NamedBranch<>>& branches, bool coast) {
    gate = register_module(
        "gate",
        ConcatGate<>(ConcatGateOptions(/*dim=*/1).min_open(1), branches));
    const std::vector<int64_t> sizes(branches.size(), kWidth);
    fc = register_module(
        "fc", SlotLinear(SlotLinearOptions(sizes, kWidth).coast(coast)));
  }
  torch::Tensor forward(const torch::Tensor& x) {
    return fc->forward(gate->forward_slots(x));
  }
  ConcatGate<> gate = nullptr;
  SlotLinear fc = nullptr;
};
TORCH_MODULE(SlotStage);

// The same dice and the same random numbers give the same network.
class RandomNet : public torch::nn::Module {
 public:
  explicit RandomNet(uint64_t seed) {
    torch::manual_seed(seed);
    StepDice dice(seed);
    const auto count = 2 + dice.below(3);
    for (uint64_t i = 0; i < count; ++i) {
      stages_.push_back(stage(dice, 0));
      register_module("stage" + std::to_string(i), stages_.back().ptr());
    }
    if (dice.chance(0.5)) {
      stages_.push_back(stages_[dice.below(count)]);  // runs twice
    }
    if (dice.chance(0.5) && !linears.empty()) {
      head_ = linears[dice.below(linears.size())];  // of a branch
      register_module("head", head_);
    }
    outside = register_parameter("outside", torch::ones({kWidth}));
  }

  torch::Tensor forward(torch::Tensor x) {
    for (auto& stage : stages_) {
      x = stage.forward(x).tanh();
    }
    return (head_.is_empty() ? x : head_->forward(x)) * outside;
  }

  std::vector<Linear> linears;
  torch::Tensor outside;

 private:
  Linear linear(StepDice& dice) {
    if (!linears.empty() && dice.chance(0.25)) {
      return linears[dice.below(linears.size())];  // of another branch
    }
    linears.emplace_back(kWidth, kWidth);
    return linears.back();
  }

  AnyBranch child(StepDice& dice, int depth) {
    return depth < 2 && dice.chance(0.35) ? stage(dice, depth + 1)
                                          : AnyBranch(linear(dice));
  }

  std::vector<NamedBranch<>> branches(StepDice& dice, int depth) {
    std::vector<NamedBranch<>> result;
    const auto count = 2 + dice.below(3);
    for (uint64_t i = 0; i < count; ++i) {
      result.emplace_back(
          std::string("b") + std::to_string(i), child(dice, depth));
    }
    return result;
  }

  AnyBranch stage(StepDice& dice, int depth) {
    switch (dice.below(6)) {
      case 0: {
        ChoiceBlock<> block(
            ChoiceBlockOptions().max_open(2), branches(dice, depth));
        if (dice.chance(0.3)) {
          block->draw_each_forward(dice.below(100));
        }
        return block;
      }
      case 1:
        return SlotStage(branches(dice, depth), dice.chance(0.2));
      case 2:
        return GatedBranch<Linear>(linear(dice));
      case 3:
        return LayerDrop<>(
            LayerDropOptions(0.5).seed(dice.below(100)), branches(dice, depth));
      case 4:
        return StochasticDepth<AnyBranch>(
            child(dice, depth),
            StochasticDepthOptions(0.4).seed(dice.below(100)));
      default:
        return linear(dice);
    }
  }

  std::vector<AnyBranch> stages_;
  Linear head_ = nullptr;
};

OptimizerPtr random_optimizer(const RandomNet& net, uint64_t seed) {
  using namespace torch::optim;
  StepDice dice(seed);
  // As often as modules are shared; some are nobody's.
  Tensors first;
  Tensors second;
  const bool two = dice.chance(0.5);
  const bool some = dice.chance(0.3);
  for (const auto& parameter : net.parameters()) {
    if (!some || dice.chance(0.8)) {
      (two && dice.chance(0.5) ? second : first).push_back(parameter);
    }
  }
  Groups groups{Groups::value_type(first)};
  if (two) {
    groups.emplace_back(second);
  }
  switch (dice.below(5)) {
    case 0:
      return std::make_unique<SGD>(
          groups, SGDOptions(0.05).momentum(0.9).weight_decay(0.01));
    case 1:
      return std::make_unique<Adam>(
          groups, AdamOptions(0.01).weight_decay(0.1).amsgrad(true));
    case 2:
      return std::make_unique<AdamW>(
          groups, AdamWOptions(0.01).weight_decay(0.1));
    case 3:
      return std::make_unique<RMSprop>(
          groups, RMSpropOptions(0.01).momentum(0.9).centered(true));
    default:
      return std::make_unique<Adagrad>(
          groups, AdagradOptions(0.05).lr_decay(0.01).weight_decay(0.1));
  }
}

// One of two equal runs.
struct DiceRun {
  DiceRun(bool by_path, uint64_t seed)
      : net(std::make_shared<RandomNet>(seed)),
        space(net),
        optimizer(random_optimizer(*net, seed)) {
    if (by_path) {
      steps = std::make_unique<OpenOptimizer>(net, space, *optimizer);
    }
  }

  Tensors listed() {
    if (steps) {
      return steps->parameters();
    }
    Tensors all;
    for (const auto& group : optimizer->param_groups()) {
      all.insert(all.end(), group.params().begin(), group.params().end());
    }
    return all;
  }
  void zero_grad() { steps ? steps->zero_grad() : optimizer->zero_grad(); }

  // Returns the norm that was clipped.
  double step(uint64_t seed, const gatedpaths::Path& path) {
    StepDice dice(seed);
    const auto loss_of_forward = [&] {
      torch::manual_seed(seed);
      return net->forward(torch::randn({3, kWidth})).square().mean();
    };
    const bool late = dice.chance(0.2);
    if (!late && dice.chance(0.8)) {
      zero_grad();
    }
    if (dice.chance(0.9)) {
      steps ? steps->apply(path) : space.apply(path);
    }
    auto loss = loss_of_forward();
    if (dice.chance(0.3)) {
      loss = loss + loss_of_forward();
    }
    if (dice.chance(0.15)) {
      for (const auto& parameter : net->parameters()) {
        loss = loss + parameter.square().sum();
      }
    }
    if (dice.chance(0.2) && !net->linears.empty()) {
      auto& linear = net->linears[dice.below(net->linears.size())];
      loss = loss + linear->forward(torch::ones({1, kWidth})).sum();
    }
    if (late) {
      zero_grad();
    }
    loss.backward();
    double norm = 0;
    if (dice.chance(0.4)) {
      norm = torch::nn::utils::clip_grad_norm_(listed(), 0.5);
    }
    steps ? steps->step() : optimizer->step();
    if (dice.chance(0.1)) {
      steps ? steps->step() : optimizer->step();
    }
    return norm;
  }

  std::shared_ptr<RandomNet> net;
  PathSpace space;
  OptimizerPtr optimizer;
  std::unique_ptr<OpenOptimizer> steps;
};

}  // namespace

TEST_CASE(
    "OpenOptimizer: agrees with the optimizer on random networks and steps",
    "[open_optimizer][random]") {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    CAPTURE(seed);
    DiceRun plain(false, seed);
    DiceRun by_path(true, seed);
    REQUIRE(plain.space == by_path.space);
    const UniformSampler sampler(plain.space, seed);
    for (uint64_t s = 0; s < 12; ++s) {
      CAPTURE(s);
      const uint64_t of_step = 1000 * seed + s;
      const double norm = plain.step(of_step, sampler.at(s));
      REQUIRE(by_path.step(of_step, sampler.at(s)) == norm);
      REQUIRE(
          all_bit_equal(plain.net->parameters(), by_path.net->parameters()));
      REQUIRE(
          all_bit_equal(gradients_of(*plain.net), gradients_of(*by_path.net)));
      REQUIRE(all_bit_equal(
          optimizer_state(*plain.optimizer),
          optimizer_state(*by_path.optimizer)));
    }
  }
}
