// SPDX-License-Identifier: MIT
// One seed for all that draws: what is of another kind draws other numbers.
#include <gatedpaths/depth/layer_drop.hpp>
#include <gatedpaths/depth/stochastic_depth.hpp>
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/draw_states.hpp>
#include <gatedpaths/gates/gate_head.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/learning/gumbel_estimator.hpp>
#include <gatedpaths/learning/mixture_estimator.hpp>
#include <gatedpaths/learning/path_logits.hpp>
#include <gatedpaths/learning/reinforce_estimator.hpp>
#include <gatedpaths/learning/two_path_estimator.hpp>
#include <gatedpaths/paths/bernoulli_sampler.hpp>
#include <gatedpaths/paths/fair_sampler.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/paths/sandwich_sampler.hpp>
#include <gatedpaths/paths/uniform_sampler.hpp>
#include <gatedpaths/paths/weighted_sampler.hpp>

#include <c10/core/GradMode.h>
#include <torch/nn/modules/linear.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::ChoiceBlockOptions;
using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::GatedBranch;
using gatedpaths::GatedBranchOptions;
using gatedpaths::GatedModule;
using gatedpaths::GateHead;
using gatedpaths::LayerDrop;
using gatedpaths::Overflow;
using gatedpaths::PathLogits;
using gatedpaths::PathSpace;
using gatedpaths::StochasticDepth;
using gatedpaths::StochasticDepthOptions;
using torch::nn::Identity;

namespace {

constexpr size_t kStreamSteps = 1024;

// The first decisions of one that draws, each with a chance of a half.
using Decisions = std::vector<bool>;
using DecisionsByKind = std::map<std::string, Decisions>;

Decisions decide(const std::function<bool()>& next) {
  Decisions decisions;
  for (size_t i = 0; i < kStreamSteps; ++i) {
    decisions.push_back(next());
  }
  return decisions;
}

torch::Tensor two_rows() { return torch::zeros({2, 1}); }

template <class Gate>
Decisions own_draws(Gate gate) {
  return decide([&] {
    gate->forward(two_rows());
    return gate->is_open(0);
  });
}

// Which of two samples stays.
template <class Gate>
Decisions capacity_draws(Gate gate, const torch::Tensor& open) {
  return decide([&] {
    gate->forward(two_rows(), open);
    return gate->ran_samples(0).front() == 0;
  });
}

// Whether the module ran nothing.
template <class Module>
Decisions dropped(Module module) {
  return decide([&] {
    module->forward(two_rows());
    return module->ran_branches().empty();
  });
}

Decisions head_draws(GateHead head) {
  for (const auto& parameter : head->parameters()) {
    parameter.zero_();
  }
  return decide(
      [&] { return head->forward(torch::zeros({1, 1})).open.item<bool>(); });
}

template <class Options>
Options room_for_one(Options options) {
  return options.capacity(1).overflow(Overflow::kDrop);
}

// A module of each kind, with default options but for the seed if there is one.
struct DrawingModules {
  explicit DrawingModules(std::optional<uint64_t> seed) {
    const auto begin = [&](GatedModule& gate) {
      seed ? gate.draw_each_forward(*seed) : gate.draw_each_forward();
    };
    begin(*branch);
    begin(*block);
    begin(*concat);
    gatedpaths::LayerDropOptions layers_options(0.5);
    auto depth_options =
        StochasticDepthOptions(0.5).mode(gatedpaths::DropMode::kBatch);
    gatedpaths::GateHeadOptions head_options(1);
    auto branch_options = room_for_one(GatedBranchOptions());
    auto block_options = room_for_one(ChoiceBlockOptions());
    auto concat_options = room_for_one(ConcatGateOptions(1));
    if (seed) {
      layers_options.seed(*seed);
      depth_options.seed(*seed);
      head_options.seed(*seed);
      branch_options.capacity_seed(*seed);
      block_options.capacity_seed(*seed);
      concat_options.capacity_seed(*seed);
    }
    layers = LayerDrop(layers_options, Identity());
    depth = StochasticDepth(Identity(), depth_options);
    head = GateHead(head_options);
    small_branch = GatedBranch(Identity(), branch_options);
    small_block = ChoiceBlock(block_options, Identity(), Identity());
    small_concat = ConcatGate(concat_options, Identity(), Identity());
  }

  GatedBranch<Identity> branch{Identity()};
  ChoiceBlock<Identity> block{Identity(), Identity()};
  ConcatGate<Identity> concat{
      ConcatGateOptions(1).min_open(1).max_open(1), Identity(), Identity()};
  LayerDrop<Identity> layers = nullptr;
  StochasticDepth<Identity> depth = nullptr;
  GateHead head = nullptr;
  GatedBranch<Identity> small_branch = nullptr;
  ChoiceBlock<Identity> small_block = nullptr;
  ConcatGate<Identity> small_concat = nullptr;
};

void add_module_draws(
    DecisionsByKind& all,
    const DrawingModules& modules,
    const std::string& suffix = "") {
  const auto one_column = torch::ones({2}, torch::kBool);
  const auto two_columns =
      torch::tensor({true, false, true, false}).view({2, 2});
  const auto add = [&](const std::string& kind, Decisions decisions) {
    all[kind + suffix] = std::move(decisions);
  };
  add("GatedBranch", own_draws(modules.branch));
  add("ChoiceBlock", own_draws(modules.block));
  add("ConcatGate", own_draws(modules.concat));
  add("LayerDrop", dropped(modules.layers));
  add("StochasticDepth", dropped(modules.depth));
  add("GateHead", head_draws(modules.head));
  add("capacity of GatedBranch",
      capacity_draws(modules.small_branch, one_column));
  add("capacity of ChoiceBlock",
      capacity_draws(modules.small_block, two_columns));
  add("capacity of ConcatGate",
      capacity_draws(modules.small_concat, two_columns));
}

void add_path_draws(DecisionsByKind& all, uint64_t seed) {
  const ChoiceBlock block{Identity(), Identity()};
  const PathSpace space(block);
  const auto opens_first = [](const gatedpaths::Path& path) {
    return path.open_branches(0).front() == 0;
  };
  const auto add_sampler = [&](const std::string& kind, auto sampler) {
    sampler.set_step(2);  // the sandwich's first two are no draws
    all[kind] = decide([&] { return opens_first(sampler.next()); });
  };
  add_sampler("UniformSampler", gatedpaths::UniformSampler(space, seed));
  add_sampler(
      "BernoulliSampler", gatedpaths::BernoulliSampler(space, seed, 0.5));
  add_sampler(
      "WeightedSampler",
      gatedpaths::WeightedSampler(space, seed, gatedpaths::GateValues()));
  add_sampler("FairSampler", gatedpaths::FairSampler(space, seed));
  add_sampler(
      "SandwichSampler",
      gatedpaths::SandwichSampler(
          space, seed, /*random_paths=*/int64_t{2 * kStreamSteps}));

  const PathLogits logits(space);
  uint64_t step = 2;
  all["PathLogits"] =
      decide([&] { return opens_first(logits->draw(seed, step++)); });
  const auto add_estimator = [&](auto&& estimator) {
    estimator.set_state({seed, 2});
    all[estimator.name()] = decide([&] {
      const auto path = estimator.apply();
      estimator.finish_step();
      return opens_first(path);
    });
    estimator.set_state({seed, 2});
    all[estimator.name() + " of the weights"] =
        decide([&] { return opens_first(estimator.apply_plain()); });
  };
  add_estimator(gatedpaths::ReinforceEstimator(logits, space, seed));
  add_estimator(gatedpaths::GumbelEstimator(logits, space, seed));
  add_estimator(gatedpaths::TwoPathEstimator(logits, space, seed));
  add_estimator(gatedpaths::MixtureEstimator(logits, space, seed));
  all.erase("MixtureEstimator");  // draws nothing
}

// From what independent decisions give on average, in standard deviations.
double distance_of_agreements(
    const Decisions& one, const Decisions& other, size_t lag) {
  const size_t steps = one.size() - lag;
  int64_t agreements = 0;
  for (size_t i = 0; i < steps; ++i) {
    agreements += one[i] == other[i + lag] ? 1 : 0;
  }
  const auto all = static_cast<double>(steps);
  return std::abs(static_cast<double>(agreements) - all / 2) /
         (std::sqrt(all) / 2);
}

// One estimator never draws for both at one step.
bool share_their_steps(const std::string& one, const std::string& other) {
  return one + " of the weights" == other || other + " of the weights" == one;
}

void check_independent(const DecisionsByKind& all) {
  for (const auto& [kind, decisions] : all) {
    INFO(kind);
    CHECK(
        distance_of_agreements(decisions, Decisions(kStreamSteps, true), 0) <
        5);
  }
  for (const auto& [kind, decisions] : all) {
    for (const auto& [other, others] : all) {
      if (kind == other || share_their_steps(kind, other)) {
        continue;
      }
      for (const size_t lag : {0U, 1U, 2U}) {
        INFO(kind << " and " << other << " " << lag << " steps later");
        CHECK(distance_of_agreements(decisions, others, lag) < 5);
      }
    }
  }
}

}  // namespace

TEST_CASE(
    "Streams: equal seeds give each kind of drawer decisions of its own",
    "[draw_states][random]") {
  const uint64_t seed =
      GENERATE(uint64_t{0}, 7, std::numeric_limits<uint64_t>::max());
  CAPTURE(seed);
  const torch::NoGradGuard no_grad;
  DecisionsByKind all;
  add_module_draws(all, DrawingModules(seed));
  add_path_draws(all, seed);
  REQUIRE(all.size() == 22);
  check_independent(all);

  // What is of one kind and one seed draws the same.
  DecisionsByKind again;
  add_module_draws(again, DrawingModules(seed));
  for (const auto& [kind, decisions] : again) {
    CHECK(decisions == all.at(kind));
  }
}

TEST_CASE(
    "Streams: modules with default options draw apart",
    "[draw_states][random]") {
  const torch::NoGradGuard no_grad;
  DecisionsByKind all;
  add_module_draws(all, DrawingModules(std::nullopt));
  add_module_draws(all, DrawingModules(std::nullopt), " of the second");
  check_independent(all);
}

TEST_CASE(
    "seed_draws: copies side by side draw apart, and from what has the seed",
    "[draw_states][random]") {
  const torch::NoGradGuard no_grad;
  const DrawingModules modules(7);
  torch::nn::Module net;
  const auto add = [&](const std::string& name, const auto& module) {
    return net.register_module(name, module);
  };
  const auto copy = [](const auto& module) {
    using Impl = std::remove_cvref_t<decltype(*module)>;
    return std::remove_cvref_t<decltype(module)>(
        std::dynamic_pointer_cast<Impl>(module->clone()));
  };
  DrawingModules copies(7);
  const auto add_both = [&](const std::string& name, const auto& module) {
    add(name, module);
    return add(name + "_copy", copy(module));
  };
  copies.branch = add_both("branch", modules.branch);
  copies.block = add_both("block", modules.block);
  copies.concat = add_both("concat", modules.concat);
  copies.layers = add_both("layers", modules.layers);
  copies.depth = add_both("depth", modules.depth);
  copies.head = add_both("head", modules.head);
  copies.small_branch = add_both("small_branch", modules.small_branch);
  copies.small_block = add_both("small_block", modules.small_block);
  copies.small_concat = add_both("small_concat", modules.small_concat);
  gatedpaths::seed_draws(net, 7);
  DecisionsByKind all;
  add_module_draws(all, modules);
  add_module_draws(all, copies, " copied");
  add_path_draws(all, 7);
  add_module_draws(all, DrawingModules(7), " outside");
  CHECK(all.size() == 3 * 9 + 13);
  check_independent(all);
}
