// SPDX-License-Identifier: MIT
#include <gatedpaths/depth/layer_drop.hpp>
#include <gatedpaths/depth/stochastic_depth.hpp>
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/draw_states.hpp>
#include <gatedpaths/gates/gate_head.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/gates/stream_seed.hpp>
#include <gatedpaths/paths/uniform_sampler.hpp>

#include <torch/nn/init.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/serialize.h>

#include <limits>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/fake_gate.hpp"
#include "support/tensors.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::draw_states;
using gatedpaths::Drawer;
using gatedpaths::DrawState;
using gatedpaths::DrawStates;
using gatedpaths::GatedBranch;
using gatedpaths::GatedBranchOptions;
using gatedpaths::GateHead;
using gatedpaths::GateHeadOptions;
using gatedpaths::LayerDrop;
using gatedpaths::LayerDropOptions;
using gatedpaths::seed_draws;
using gatedpaths::set_draw_states;
using gatedpaths::StochasticDepth;
using gatedpaths::StochasticDepthOptions;
using gatedpaths::stream_seed;
using gatedpaths::test::bit_equal;
using gatedpaths::test::fake_gate;
using gatedpaths::test::FakeGate;
using gatedpaths::test::holder;
using gatedpaths::test::Holder;
using gatedpaths::test::message_of;
using torch::nn::Linear;

namespace {

constexpr uint64_t kLargeSeed = std::numeric_limits<uint64_t>::max() - 6;
constexpr uint64_t kNetSeed = 40;

// A drawer that is no gate, as one's own may be.
struct Dice : torch::nn::Module, virtual Drawer {
  void visit_draws(const DrawVisitor& visit) override { visit("dice", state); }

  DrawState state{kLargeSeed, 0};
};

// All kinds of drawers, one of them inside a branch.
struct DrawNet : torch::nn::Module {
  explicit DrawNet(uint64_t seed = kNetSeed)
      : block(register_module(
            "block", ChoiceBlock(Linear(4, 4), Linear(4, 4), Linear(4, 4)))),
        limited(register_module(
            "limited",
            GatedBranch(
                StochasticDepth(
                    Linear(4, 4), StochasticDepthOptions(0.5).seed(seed + 1)),
                GatedBranchOptions()
                    .capacity(2)
                    .overflow(gatedpaths::Overflow::kDrop)
                    .capacity_seed(seed + 2)))),
        layers(register_module(
            "layers",
            LayerDrop(
                LayerDropOptions(0.5).seed(seed + 3),
                Linear(4, 4),
                Linear(4, 4)))),
        head(register_module("head", GateHead(GateHeadOptions(4).seed(seed)))),
        dice(register_module("dice", std::make_shared<Dice>())) {
    block->draw_each_forward(seed + 4);
    limited->draw_each_forward(seed + 5);
  }

  torch::Tensor forward(const torch::Tensor& x) {
    const auto rows = torch::ones({x.size(0)}, torch::kBool);
    auto y = layers->forward(limited->forward(block->forward(x)));
    y = limited->forward(y, rows);
    ++dice->state.step;
    return y * head->forward(y).weight.unsqueeze(1);
  }

  ChoiceBlock<Linear> block;
  GatedBranch<StochasticDepth<Linear>> limited;
  LayerDrop<Linear> layers;
  GateHead head;
  std::shared_ptr<Dice> dice;
};

torch::Tensor draw_input() {
  return torch::arange(24, torch::kFloat).view({6, 4}) / 24 - 0.4;
}

void run(DrawNet& net, int steps) {
  for (int i = 0; i < steps; ++i) {
    net.forward(draw_input());
  }
}

DrawStates through_archive(const DrawStates& states) {
  std::stringstream file;
  torch::serialize::OutputArchive out;
  states.save(out);
  out.save_to(file);
  torch::serialize::InputArchive in;
  in.load_from(file);
  DrawStates loaded;
  loaded.add("before", {1, 2});  // goes
  loaded.load(in);
  return loaded;
}

std::vector<std::string> names_and_kinds(const DrawStates& states) {
  std::vector<std::string> texts;
  for (const auto& [key, state] : states.entries()) {
    texts.push_back(key.name + ":" + key.kind);
  }
  return texts;
}

std::string draws_error(torch::nn::Module& net, const DrawStates& states) {
  return message_of<c10::ValueError>([&] { set_draw_states(net, states); });
}

}  // namespace

TEST_CASE("draw_states: finds all that draws", "[draw_states]") {
  DrawNet net;
  run(net, 3);
  const auto states = draw_states(net);
  CHECK(
      names_and_kinds(states) == std::vector<std::string>{
                                     "block:gate",
                                     "dice:dice",
                                     "head:head",
                                     "layers:gate",
                                     "limited:capacity",
                                     "limited:gate",
                                     "limited.branch:gate"});
  CHECK(states.at("block", "gate") == DrawState{kNetSeed + 4, 3});
  CHECK(states.at("limited", "capacity") == DrawState{kNetSeed + 2, 3});
  CHECK(states.at("limited", "gate") == net.limited->draw_state());
  CHECK(states.at("layers", "gate") == net.layers->draw_state());
  CHECK(states.at("head", "head") == DrawState{kNetSeed, 3});
  CHECK(states.at("dice", "dice") == DrawState{kLargeSeed, 3});
}

TEST_CASE(
    "draw_states: a run goes on exactly from an archive",
    "[draw_states][random]") {
  DrawNet net;
  run(net, 3);
  DrawStates states = draw_states(net);
  gatedpaths::UniformSampler sampler(gatedpaths::PathSpace(net), kLargeSeed);
  sampler.next();
  states.add("sampler", sampler.state());
  const auto saved = through_archive(states);
  CHECK(saved == states);

  DrawNet resumed(/*seed=*/90);
  const auto weights = net.named_parameters();
  {
    const torch::NoGradGuard no_grad;
    for (auto& item : resumed.named_parameters()) {
      item.value().copy_(weights[item.key()]);
    }
  }
  set_draw_states(resumed, saved);
  CHECK(draw_states(resumed) == draw_states(net));
  CHECK(saved.at("sampler") == DrawState{kLargeSeed, 1});
  for (int i = 0; i < 10; ++i) {
    CHECK(bit_equal(resumed.forward(draw_input()), net.forward(draw_input())));
    CHECK(
        resumed.block->open_branches().vec() ==
        net.block->open_branches().vec());
  }
  CHECK(draw_states(resumed) == draw_states(net));
}

TEST_CASE(
    "draw_states: a network in which nothing draws has none", "[draw_states]") {
  const auto net = holder();
  net->add("block", fake_gate({"a", "b"}));
  net->add("linear", Linear(2, 2).ptr());
  const auto states = draw_states(net);
  CHECK(states.entries().empty());
  CHECK(through_archive(states) == states);
  set_draw_states(net, states);
  DrawStates sampler_alone;
  sampler_alone.add("sampler", {1, 2});
  set_draw_states(net, sampler_alone);  // left alone
}

TEST_CASE(
    "draw_states: a module that is held twice is there once", "[draw_states]") {
  const auto gate = fake_gate({"a", "b"});
  gate->draw_each_forward(7);
  const auto net = holder();
  const FakeGate::Inside twice{{"x", gate}, {"y", gate}};
  net->add("first", fake_gate({"x", "y"}, 1, 1, twice));
  net->add("second", gate);
  auto states = draw_states(net);
  CHECK(names_and_kinds(states) == std::vector<std::string>{"first.x:gate"});
  gate->forward();
  set_draw_states(net, states);
  CHECK(gate->draw_state() == DrawState{7, 0});
}

TEST_CASE(
    "draw_states: takes a root that draws, on the stack, and empty children",
    "[draw_states]") {
  FakeGate gate({"a", "b"});
  gate.draw_each_forward(7);
  gate.add_head(nullptr);
  const auto states = draw_states(gate);
  CHECK(names_and_kinds(states) == std::vector<std::string>{".:gate"});
  gate.forward();
  set_draw_states(gate, states);
  CHECK(gate.draw_state() == DrawState{7, 0});
}

TEST_CASE(
    "set_draw_states: every difference is named, and nothing changes",
    "[draw_states][error]") {
  DrawNet net;
  run(net, 2);
  const auto before = draw_states(net);
  DrawStates others;
  for (const auto& [key, state] : before.entries()) {
    if (key.name == "layers") {
      others.add("stray", state, "gate");
    } else if (key.kind != "capacity") {
      others.add(key.name, {5, 5}, key.name == "block" ? "head" : key.kind);
    }
  }
  CHECK(
      draws_error(net, others) ==
      "set_draw_states: 'block': expected gate, got head; missing 'layers' "
      "(gate); 'limited': expected capacity, gate, got gate; unexpected "
      "'stray' (gate)");
  CHECK(draw_states(net) == before);

  net.block->stop_drawing();
  CHECK(
      draws_error(net, before) == "set_draw_states: unexpected 'block' (gate)");
  CHECK_FALSE(net.block->draw_state().has_value());
  CHECK(message_of<c10::ValueError>([&] {
          set_draw_states(GateHead(nullptr), before);
        }) == "set_draw_states: expected a network, got none");
  CHECK(message_of<c10::ValueError>([] {
          draw_states(nullptr);
        }) == "draw_states: expected a network, got none");
}

TEST_CASE(
    "seed_draws: gives each module a stream by seed, kind and name",
    "[draw_states][random]") {
  DrawNet net;
  run(net, 3);
  seed_draws(net, 7);
  const auto states = draw_states(net);
  std::set<uint64_t> seeds;
  for (const auto& [key, state] : states.entries()) {
    CHECK(
        state == DrawState{stream_seed(stream_seed(7, key.kind), key.name), 0});
    seeds.insert(state.seed);
  }
  CHECK(seeds.size() == states.entries().size());
  CHECK(seeds.size() == 7);

  // Whatever the modules were seeded with before, and however far they were.
  DrawNet other(99);
  seed_draws(other, 7);
  CHECK(draw_states(other) == states);
  const auto decisions = [](DrawNet& drawn) {
    torch::manual_seed(3);
    std::vector<torch::Tensor> outputs;
    for (const auto& parameter : drawn.parameters()) {
      torch::nn::init::normal_(parameter);
    }
    for (int i = 0; i < 6; ++i) {
      outputs.push_back(drawn.forward(draw_input()));
    }
    return torch::stack(outputs);
  };
  const auto drawn = decisions(net);
  CHECK(bit_equal(decisions(other), drawn));
  seed_draws(other, 8);
  CHECK_FALSE(draw_states(other) == states);
  CHECK_FALSE(bit_equal(decisions(other), drawn));

  // A run goes on exactly as ever.
  const auto saved = through_archive(draw_states(net));
  DrawNet resumed(1);
  set_draw_states(resumed, saved);
  CHECK(draw_states(resumed) == draw_states(net));

  CHECK(message_of<c10::ValueError>([] {
          seed_draws(nullptr, 1);
        }) == "seed_draws: expected a network, got none");
}

TEST_CASE(
    "seed_draws: does not begin or end draws, and seeds a root and shared ones",
    "[draw_states]") {
  FakeGate gate({"a", "b"});
  seed_draws(gate, 7);
  CHECK_FALSE(gate.draw_state().has_value());
  gate.draw_each_forward();
  seed_draws(gate, 7);
  CHECK(
      gate.draw_state() ==
      DrawState{stream_seed(stream_seed(7, "gate"), "."), 0});

  const auto shared = fake_gate({"a", "b"});
  shared->draw_each_forward();
  auto net = holder();
  net->add("first", shared);
  net->add("second", shared);
  seed_draws(net, 7);
  CHECK(
      shared->draw_state() ==
      DrawState{stream_seed(stream_seed(7, "gate"), "first"), 0});
}

TEST_CASE("DrawStates: a name and kind has one state", "[draw_states][error]") {
  DrawStates states;
  states.add("a", {1, 2});
  states.add("a", {3, 4}, "gate");
  CHECK(states.at("a") == DrawState{1, 2});
  CHECK(states.at("a", "gate") == DrawState{3, 4});
  const auto twice = [&](const char* kind) {
    return message_of<c10::ValueError>([&] { states.add("a", {}, kind); });
  };
  CHECK(
      twice("") ==
      "DrawStates::add: expected one state of each name and kind, got 'a' "
      "twice");
  CHECK(
      twice("gate") ==
      "DrawStates::add: expected one state of each name and kind, got 'a' "
      "(gate) twice");
  CHECK(
      message_of<c10::IndexError>([&] { states.at("b", "head"); }) ==
      "DrawStates::at: expected one of ('a', 'a' (gate)), got 'b' (head)");
}

TEST_CASE(
    "DrawStates: an archive without whole states is an error",
    "[draw_states][error]") {
  const auto load_error = [](const auto& write) {
    std::stringstream file;
    torch::serialize::OutputArchive out;
    write(out);
    out.save_to(file);
    torch::serialize::InputArchive in;
    in.load_from(file);
    DrawStates states;
    states.add("a", {1, 2});
    const auto message = message_of<c10::ValueError>([&] { states.load(in); });
    CHECK(states.entries().size() == 1);
    return message;
  };
  using Texts = c10::List<std::string>;
  CHECK(load_error([](auto& out) {
          out.write("other", c10::IValue(1));
        }) == "DrawStates::load: expected a list 'draw_names', got none");
  CHECK(load_error([](auto& out) {
          out.write("draw_names", c10::IValue(c10::List<int64_t>({1})));
        }) == "DrawStates::load: expected a list 'draw_names', got none");
  CHECK(
      load_error([](auto& out) {
        out.write("draw_names", c10::IValue(Texts({"a"})));
        out.write("draw_kinds", c10::IValue(Texts({"gate"})));
        out.write("draw_numbers", c10::IValue(c10::List<int64_t>({1})));
      }) ==
      "DrawStates::load: expected a kind and two numbers for each of 1 names, "
      "got 1 kinds and 1 numbers");
}
