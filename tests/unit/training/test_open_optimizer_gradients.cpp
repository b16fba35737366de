// SPDX-License-Identifier: MIT
// Gradients that come by other ways than the gates that are open, and what the
// optimizer's lists may hold.
#include <gatedpaths/training/open_optimizer.hpp>

#include <gatedpaths/depth/layer_drop.hpp>
#include <gatedpaths/depth/stochastic_depth.hpp>
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/slots/slot_linear.hpp>

#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/fake_gate.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::GatedBranch;
using gatedpaths::LayerDrop;
using gatedpaths::LayerDropOptions;
using gatedpaths::OpenOptimizer;
using gatedpaths::PathSpace;
using gatedpaths::SlotLinear;
using gatedpaths::SlotLinearOptions;
using gatedpaths::StochasticDepth;
using gatedpaths::StochasticDepthOptions;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::bit_equal;
using gatedpaths::test::copies_of;
using gatedpaths::test::gradients_of;
using gatedpaths::test::holder;
using gatedpaths::test::message_of;
using gatedpaths::test::none_defined;
using gatedpaths::test::Tensors;
using torch::nn::Linear;

namespace {

using torch::optim::SGD;

torch::optim::SGDOptions heavy_sgd() {
  return torch::optim::SGDOptions(0.05).momentum(0.9).weight_decay(0.1);
}

// A block of three, of which one is open.
ChoiceBlock<Linear> three_linears(uint64_t seed = 1) {
  torch::manual_seed(seed);
  return ChoiceBlock(Linear(3, 3), Linear(3, 3), Linear(3, 3));
}

int64_t count_defined(const Tensors& tensors) {
  return std::count_if(tensors.begin(), tensors.end(), [](const auto& tensor) {
    return tensor.defined();
  });
}

// Two equal networks, one by the optimizer's own calls.
template <class Net>
struct Twins {
  explicit Twins(Net (*make)(uint64_t), bool first_twice = false)
      : plain(make(1)),
        open(make(1)),
        sgd(listed(plain, first_twice), heavy_sgd()),
        open_sgd(listed(open, first_twice), heavy_sgd()),
        steps(open, PathSpace(open), open_sgd) {}

  static Tensors listed(const Net& net, bool first_twice) {
    auto parameters = net->parameters();
    if (first_twice) {
      parameters.push_back(parameters.front());
    }
    return parameters;
  }

  // One step of each; `loss(net)`.
  template <class Loss>
  void step(const Loss& loss) {
    sgd.zero_grad();
    loss(plain).backward();
    sgd.step();
    steps.zero_grad();
    loss(open).backward();
    steps.step();
    REQUIRE(all_bit_equal(plain->parameters(), open->parameters()));
    REQUIRE(all_bit_equal(gradients_of(*plain), gradients_of(*open)));
  }

  Net plain;
  Net open;
  SGD sgd;
  SGD open_sgd;
  OpenOptimizer steps;
};

torch::Tensor ones3() { return torch::ones({2, 3}); }

}  // namespace

TEST_CASE(
    "OpenOptimizer: steps and clears what no gate has opened",
    "[open_optimizer]") {
  Twins<ChoiceBlock<Linear>> twins(three_linears);
  const bool penalty = GENERATE(true, false);
  CAPTURE(penalty);
  for (int64_t s = 0; s < 6; ++s) {
    CAPTURE(s);
    twins.step([&](ChoiceBlock<Linear>& net) {
      net->set_open({s % 2});
      auto loss = net->forward(ones3()).square().sum();
      if (s % 3 == 1) {
        if (penalty) {
          for (const auto& parameter : net->parameters()) {
            loss = loss + parameter.square().sum();
          }
        } else {
          loss = loss + net->branch(2)->forward(ones3()).sum();
        }
      }
      return loss;
    });
  }
  // And again costs what is open, though not of the last round but one.
  twins.steps.zero_grad();
  twins.steps.zero_grad();
  twins.steps.zero_grad();
  CHECK(none_defined(gradients_of(*twins.open)));
  CHECK(twins.steps.parameters().size() == 2);
}

TEST_CASE(
    "OpenOptimizer: a gate may run several times in one forward",
    "[open_optimizer]") {
  const std::string kind =
      GENERATE("LayerDrop", "StochasticDepth", "ChoiceBlock", "samples");
  CAPTURE(kind);
  torch::manual_seed(2);
  const auto net = holder();
  LayerDrop<Linear> layers(
      LayerDropOptions(0.6).min_layers(1),
      Linear(3, 3),
      Linear(3, 3),
      Linear(3, 3),
      Linear(3, 3));
  StochasticDepth<Linear> depth(Linear(3, 3), StochasticDepthOptions(0.5));
  auto block = three_linears(3);
  net->add("layers", layers.ptr());
  net->add("depth", depth.ptr());
  net->add("block", block.ptr());
  block->draw_each_forward(4);
  int64_t call = 0;
  const auto run = [&](const torch::Tensor& x) {
    ++call;
    if (kind == "LayerDrop") {
      return layers->forward(x);
    }
    if (kind == "StochasticDepth") {
      return depth->forward(x);
    }
    if (kind == "ChoiceBlock") {
      return block->forward(x);
    }
    auto open = torch::zeros({2, 3}, torch::kBool);
    open.select(1, call % 3).fill_(true);
    return block->forward(x, open);
  };
  SGD sgd(net->parameters(), heavy_sgd());
  OpenOptimizer steps(net, PathSpace(net), sgd);
  int64_t most = 0;
  for (int s = 0; s < 8; ++s) {
    CAPTURE(s);
    steps.zero_grad();
    REQUIRE(none_defined(gradients_of(*net)));
    auto x = ones3().requires_grad_();
    for (int i = 0; i < 4; ++i) {
      // What grows without bound ends in NaN, which no step changes.
      const auto output = run(x);
      x = output / (1 + output.detach().abs().max());
    }
    x.sum().backward();
    const auto before = copies_of(net->parameters());
    const auto gradients = gradients_of(*net);
    steps.step();
    most = std::max(most, count_defined(gradients));
    for (size_t i = 0; i < before.size(); ++i) {
      CHECK(
          gradients[i].defined() != bit_equal(before[i], net->parameters()[i]));
    }
  }
  CHECK(most == (kind == "LayerDrop" ? 8 : kind == "StochasticDepth" ? 2 : 6));
}

TEST_CASE(
    "OpenOptimizer: steps a parameter as often as the optimizer has it",
    "[open_optimizer]") {
  Twins<ChoiceBlock<Linear>> twins(three_linears, /*first_twice=*/true);
  for (int64_t s = 0; s < 6; ++s) {
    twins.step([&](ChoiceBlock<Linear>& net) {
      net->set_open({s % 3});
      return net->forward(ones3()).square().sum();
    });
  }
  twins.open->set_open({0});
  twins.steps.zero_grad();
  twins.steps.zero_grad();
  const auto listed = twins.steps.parameters();
  REQUIRE(listed.size() == 3);
  CHECK(listed[0].is_same(listed[2]));
}

TEST_CASE(
    "OpenOptimizer: leaves alone what another optimizer has",
    "[open_optimizer]") {
  auto net = three_linears();
  const auto all = net->parameters();
  SGD first(Tensors{all[0], all[2]}, heavy_sgd());
  SGD second(Tensors{all[1], all[3]}, heavy_sgd());
  OpenOptimizer first_steps(net, PathSpace(net), first);
  OpenOptimizer second_steps(net, PathSpace(net), second);
  for (const auto& parameter : net->parameters()) {
    parameter.square().sum().backward();
  }
  CHECK(first_steps.parameters().size() == 2);
  const auto before = copies_of(all);
  first_steps.step();
  first_steps.zero_grad();
  const auto gradients = gradients_of(*net);
  for (size_t i = 0; i < all.size(); ++i) {
    CAPTURE(i);
    CHECK(bit_equal(all[i], before[i]) == (i != 0 && i != 2));
    CHECK(gradients[i].defined() == (i != 0 && i != 2));
  }
  second_steps.step();
  second_steps.zero_grad();
  CHECK_FALSE(bit_equal(all[1], before[1]));
  CHECK_FALSE(bit_equal(all[3], before[3]));
  CHECK(count_defined(gradients_of(*net)) == 2);
}

TEST_CASE(
    "OpenOptimizer: lists parameters in the optimizer's order",
    "[open_optimizer]") {
  auto net = three_linears();
  const auto all = net->parameters();
  SGD sgd(
      std::vector<torch::optim::OptimizerParamGroup>{
          Tensors{all[3], all[0]}, Tensors{all[2], all[1], all[5], all[4]}},
      heavy_sgd());
  OpenOptimizer steps(net, PathSpace(net), sgd);
  net->set_open({1});
  net->forward(ones3()).sum().backward();
  all[5].sum().backward();
  steps.zero_grad();
  steps.zero_grad();
  all[5].sum().backward();
  const auto listed = steps.parameters();
  REQUIRE(listed.size() == 3);
  CHECK(listed[0].is_same(all[3]));
  CHECK(listed[1].is_same(all[2]));
  CHECK(listed[2].is_same(all[5]));
}

TEST_CASE(
    "OpenOptimizer: a parameter replaced in its group is an error",
    "[open_optimizer][error]") {
  auto net = three_linears();
  auto sgd = std::make_unique<SGD>(net->parameters(), heavy_sgd());
  auto steps = std::make_unique<OpenOptimizer>(net, PathSpace(net), *sgd);
  net->set_open({1});
  auto& own = net->branch(1)->weight;
  own = torch::ones({3, 3}).requires_grad_();
  sgd->param_groups()[0].params()[2] = own;
  net->forward(ones3()).sum().backward();
  auto all = net->parameters();
  all.push_back(own);
  const auto before = copies_of(all);
  CHECK(
      message_of<c10::Error>([&] { steps->step(); }) ==
      "OpenOptimizer::step: expected the optimizer's group 0 to have the "
      "parameter [3, 3] Float at index 2 that it had, got another one, [3, 3] "
      "Float; make a new OpenOptimizer after replacing parameters");
  CHECK(all_bit_equal(before, all));
  CHECK(sgd->param_groups()[0].params().size() == 6);
  steps = std::make_unique<OpenOptimizer>(net, PathSpace(net), *sgd);
  steps->step();
  CHECK_FALSE(bit_equal(before.back(), own));
  steps->zero_grad();
  CHECK_FALSE(own.grad().defined());
}

TEST_CASE(
    "OpenOptimizer: a head may hold the module of a branch",
    "[open_optimizer]") {
  // As a child of the gate, and beside it, before and behind.
  struct HeadNet : torch::nn::Module {
    explicit HeadNet(int where) {
      torch::manual_seed(1);
      a = Linear(3, 3);
      gate = ChoiceBlock<Linear>({{"a", a}, {"b", Linear(3, 3)}});
      head = holder();
      head->add("inner", a.ptr());
      if (where == 0) {
        register_module("head", head);
      }
      register_module("gate", gate);
      if (where == 1) {
        register_module("head", head);
      }
      if (where == 2) {
        gate->register_module("head", head);
      }
    }
    Linear a = nullptr;
    ChoiceBlock<Linear> gate = nullptr;
    std::shared_ptr<gatedpaths::test::Holder> head;
  };
  const int where = GENERATE(0, 1, 2);
  CAPTURE(where);
  const auto net = std::make_shared<HeadNet>(where);
  SGD sgd(net->parameters(), heavy_sgd());
  OpenOptimizer steps(net, PathSpace(net), sgd);
  net->gate->set_open({1});
  const auto before = copies_of({net->a->weight});
  for (int s = 0; s < 3; ++s) {
    steps.zero_grad();
    net->a->forward(net->gate->forward(ones3())).sum().backward();
    steps.step();
  }
  CHECK_FALSE(bit_equal(before[0], net->a->weight));
  steps.zero_grad();
  CHECK(none_defined(gradients_of(*net)));
}

TEST_CASE(
    "OpenOptimizer: sees gradients that are written by hand when told",
    "[open_optimizer]") {
  auto net = three_linears();
  net->set_open({0});
  SGD sgd(net->parameters(), heavy_sgd());
  OpenOptimizer steps(net, PathSpace(net), sgd);
  const auto before = copies_of(net->parameters());
  for (const auto& parameter : net->parameters()) {
    parameter.mutable_grad() = torch::ones_like(parameter);
  }
  CHECK(steps.parameters().size() == 2);
  steps.look_at_all();
  CHECK(steps.parameters().size() == 6);
  steps.step();
  for (size_t i = 0; i < before.size(); ++i) {
    CHECK_FALSE(bit_equal(before[i], net->parameters()[i]));
  }
  steps.zero_grad();
  CHECK(none_defined(gradients_of(*net)));
  SECTION("those of open branches without that") {
    const auto open = steps.parameters();
    const auto loss = net->forward(ones3()).sum();
    const auto gradients = torch::autograd::grad({loss}, open);
    for (size_t i = 0; i < open.size(); ++i) {
      open[i].mutable_grad() = gradients[i];
    }
    const auto now = copies_of(open);
    steps.step();
    CHECK_FALSE(bit_equal(now[0], open[0]));
  }
}

TEST_CASE(
    "OpenOptimizer: autograd::grad leaves nothing to step",
    "[open_optimizer]") {
  auto net = three_linears();
  net->set_open({0});
  SGD sgd(net->parameters(), heavy_sgd());
  OpenOptimizer steps(net, PathSpace(net), sgd);
  const auto before = copies_of(net->parameters());
  torch::autograd::grad(
      {net->branch(2)->forward(ones3()).sum()}, net->branch(2)->parameters());
  steps.step();
  CHECK(all_bit_equal(before, net->parameters()));
  CHECK(steps.parameters().size() == 2);
}

TEST_CASE(
    "OpenOptimizer: hears of gradients after a conversion or a thaw",
    "[open_optimizer]") {
  auto net = three_linears();
  net->set_open({0});
  const auto last = net->branch(2)->parameters();
  const bool frozen = GENERATE(false, true);
  if (frozen) {
    for (auto parameter : last) {
      parameter.requires_grad_(false);
    }
  }
  SGD sgd(net->parameters(), heavy_sgd());
  OpenOptimizer steps(net, PathSpace(net), sgd);
  CHECK(last[0].requires_grad() != frozen);
  for (auto parameter : last) {
    parameter.requires_grad_(true);
  }
  net->to(torch::kDouble);
  const auto before = copies_of(last);
  net->branch(2)->forward(ones3().to(torch::kDouble)).sum().backward();
  steps.step();
  CHECK_FALSE(bit_equal(before[0], last[0]));
  CHECK_FALSE(bit_equal(before[1], last[1]));
}

TEST_CASE(
    "OpenOptimizer: does not hear of a clone's gradients",
    "[open_optimizer][clone]") {
  auto net = three_linears();
  net->set_open({0});
  SGD sgd(net->parameters(), heavy_sgd());
  OpenOptimizer steps(net, PathSpace(net), sgd);
  const auto copy =
      std::dynamic_pointer_cast<ChoiceBlock<Linear>::Impl>(net->clone());
  copy->branch(2)->forward(ones3()).sum().backward();
  CHECK(steps.parameters().size() == 2);
}

TEST_CASE(
    "OpenOptimizer: gradients may come from several threads at once",
    "[open_optimizer]") {
  torch::manual_seed(1);
  std::vector<gatedpaths::NamedBranch<>> branches;
  for (int i = 0; i < 32; ++i) {
    branches.emplace_back(std::string("b") + std::to_string(i), Linear(3, 3));
  }
  ChoiceBlock<> net(branches);
  SGD sgd(net->parameters(), heavy_sgd());
  OpenOptimizer steps(net, PathSpace(net), sgd);
  const auto all = net->parameters();
  const auto before = copies_of(all);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = t; i < all.size(); i += 4) {
        all[i].square().sum().backward();
      }
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  CHECK(steps.parameters().size() == all.size());
  steps.step();
  for (size_t i = 0; i < all.size(); ++i) {
    CHECK_FALSE(bit_equal(before[i], all[i]));
  }
}

TEST_CASE(
    "OpenOptimizer: its hooks end with it, and move with it",
    "[open_optimizer]") {
  auto net = three_linears();
  net->set_open({0});
  SGD sgd(net->parameters(), heavy_sgd());
  auto first = std::make_unique<OpenOptimizer>(net, PathSpace(net), sgd);
  auto second = std::make_unique<OpenOptimizer>(net, PathSpace(net), sgd);
  first.reset();
  net->branch(2)->forward(ones3()).sum().backward();
  OpenOptimizer moved(std::move(*second));
  second.reset();
  net->branch(1)->forward(ones3()).sum().backward();
  CHECK(moved.parameters().size() == 6);
  moved.step();
  moved.zero_grad();
  CHECK(none_defined(gradients_of(*net)));
}

TEST_CASE(
    "OpenOptimizer: coasting weights are known to each of two optimizers",
    "[open_optimizer]") {
  torch::manual_seed(1);
  const auto net = holder();
  ConcatGate<> gate(
      ConcatGateOptions(1), {{"a", Linear(3, 2)}, {"b", Linear(3, 2)}});
  SlotLinear fc(SlotLinearOptions({2, 2}, 3).coast(true));
  net->add("gate", gate.ptr());
  net->add("fc", fc.ptr());
  gate->set_open({0});
  SGD first(Tensors{fc->weights[0]}, heavy_sgd());
  SGD second(Tensors{fc->weights[1]}, heavy_sgd());
  OpenOptimizer first_steps(net, PathSpace(net), first);
  OpenOptimizer second_steps(net, PathSpace(net), second);
  const auto before = copies_of(fc->weights);
  fc->forward(gate->forward_slots(ones3())).sum().backward();
  first_steps.step();
  first_steps.zero_grad();
  second_steps.step();
  second_steps.zero_grad();
  for (size_t i = 0; i < 2; ++i) {
    CHECK_FALSE(bit_equal(before[i], fc->weights[i]));
    CHECK_FALSE(fc->weights[i].grad().defined());
  }
}
