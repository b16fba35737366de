// SPDX-License-Identifier: MIT
// Estimators in networks in which some gates draw by themselves.
#include <gatedpaths/depth/layer_drop.hpp>
#include <gatedpaths/depth/stochastic_depth.hpp>
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/learning/mixture_estimator.hpp>

#include <torch/nn/modules/linear.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/estimators.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::GatedModule;
using gatedpaths::LayerDrop;
using gatedpaths::LayerDropOptions;
using gatedpaths::MixtureEstimator;
using gatedpaths::PathEstimator;
using gatedpaths::PathLogits;
using gatedpaths::PathSpace;
using gatedpaths::StochasticDepth;
using gatedpaths::StochasticDepthOptions;
using gatedpaths::test::all_estimators;
using gatedpaths::test::make_estimator;
using gatedpaths::test::message_of;
using torch::nn::Linear;

namespace {

// Drop path around a choice, inside of one, and beside.
struct DropPathNet : torch::nn::Module {
  DropPathNet() { torch::manual_seed(4); }

  torch::Tensor forward(const torch::Tensor& x) {
    return layers->forward(cell->forward(stem->forward(x)));
  }

  torch::Tensor loss() {
    return (forward(torch::ones({4, 2})) - 0.5).square().mean();
  }

  static StochasticDepth<Linear> drop_path(uint64_t seed) {
    return {Linear(2, 2), StochasticDepthOptions(0.4).seed(seed)};
  }

  ChoiceBlock<> stem = register_module(
      "stem", ChoiceBlock<>({{"a", drop_path(1)}, {"b", drop_path(2)}}));
  ChoiceBlock<Linear> inside = ChoiceBlock(Linear(2, 2), Linear(2, 2));
  StochasticDepth<ChoiceBlock<Linear>> cell = register_module(
      "cell", StochasticDepth(inside, StochasticDepthOptions(0.4).seed(3)));
  LayerDrop<Linear> layers = register_module(
      "layers",
      LayerDrop(LayerDropOptions(0.5).seed(5), Linear(2, 2), Linear(2, 2)));
};

}  // namespace

TEST_CASE(
    "PathEstimator: learns beside gates that draw by themselves, which go on",
    "[path_estimator][random]") {
  const std::string name = GENERATE(all_estimators());
  CAPTURE(name);
  DropPathNet net;
  const PathSpace space(net);
  REQUIRE(space.num_gates() == 2);
  const PathLogits logits(space);
  const auto estimator = make_estimator(name, logits, space);
  const bool runs_all = name == "MixtureEstimator";
  int dropped_cells = 0;
  int dropped_layers = 0;
  for (int step = 0; step < 100; ++step) {
    const bool learns = step % 2 == 0;
    const auto path = learns ? estimator->apply() : estimator->apply_plain();
    const auto loss = net.loss();
    if (learns) {
      estimator->objective(loss).backward();
      CHECK(logits->logits("stem").grad().defined());
    }
    CHECK(net.stem->open_branches() == path.open_branches(0));
    const auto ran = space.ran();
    const size_t all = learns && runs_all ? 2 : 1;
    CHECK(ran.open_branches(0).size() == all);
    if (all == 1) {
      CHECK(ran.open_branches(0) == path.open_branches(0));
    }
    const bool drops = net.cell->ran_branches().empty();
    CHECK(ran.open_branches(1).size() == (drops ? 0 : all));
    dropped_cells += drops ? 1 : 0;
    dropped_layers += 2 - static_cast<int>(net.layers->ran_branches().size());
    estimator->finish_step();
  }
  CHECK(net.cell->draw_state()->step == 100);
  CHECK(dropped_cells == 0);  // a subset of 4 rows keeps 2 or 3
  CHECK(dropped_layers > 60);
  CHECK(dropped_layers < 140);
}

TEST_CASE(
    "PathEstimator: a gate of the space that draws by itself is an error",
    "[path_estimator][error]") {
  const std::string name = GENERATE(all_estimators());
  CAPTURE(name);
  DropPathNet net;
  const std::string advice =
      " that draws by itself in training; leave it out of the space, as "
      "PathSpace(net) does now, or call its stop_drawing";
  {
    const PathSpace every(net, [](std::string_view gate, const GatedModule&) {
      return gate == "stem" || gate == "layers";
    });
    const PathLogits logits(every);
    CHECK(
        message_of<c10::ValueError>([&] {
          make_estimator(name, logits, every);
        }) == name +
                  ": expected gates that keep to the applied path, got gate "
                  "'layers', a LayerDrop" +
                  advice);
  }
  const PathSpace space(net);
  const PathLogits logits(space);
  const auto estimator = make_estimator(name, logits, space);
  estimator->apply();
  estimator->finish_step();
  const auto state = estimator->state();
  const auto before = space.current();
  net.stem->draw_each_forward(9);
  CHECK(
      message_of<c10::ValueError>([&] { estimator->apply(); }) ==
      name +
          "::apply: expected gates that keep to the applied path, got gate "
          "'stem', a ChoiceBlock" +
          advice);
  CHECK(
      message_of<c10::ValueError>([&] { estimator->apply_plain(); }) ==
      name +
          "::apply_plain: expected gates that keep to the applied path, got "
          "gate 'stem', a ChoiceBlock" +
          advice);
  CHECK(estimator->state() == state);
  CHECK(space.current() == before);
  CHECK(net.stem->weighting() == nullptr);
  net.stem->stop_drawing();
  CHECK_NOTHROW(estimator->apply());
}

TEST_CASE(
    "MixtureEstimator: another path by hand within a step is an error",
    "[mixture_estimator][error]") {
  DropPathNet net;
  const PathSpace space(net);
  const PathLogits logits(space);
  MixtureEstimator estimator(logits, space, 3);
  const auto path = estimator.apply();
  space.apply(path);  // as OpenOptimizer::apply does
  CHECK_NOTHROW(net.loss());
  space.apply(space.parse("stem=b;cell.branch=0"));
  CHECK(
      message_of<c10::Error>([&] { net.loss(); }) ==
      "ChoiceBlock::forward: expected [0] open, as when the mixture of all "
      "branches was set, got [1]; end its step (finish_step) before another "
      "path is applied");
  estimator.finish_step();
  net.loss();
  CHECK(net.stem->ran_branches() == c10::IntArrayRef({1}));
  CHECK(net.stem->open_branches() == c10::IntArrayRef({1}));
}
