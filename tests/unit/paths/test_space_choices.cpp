// SPDX-License-Identifier: MIT
// Which gates a path space takes.
#include <gatedpaths/depth/layer_drop.hpp>
#include <gatedpaths/depth/stochastic_depth.hpp>
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/paths/uniform_sampler.hpp>

#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/fake_gate.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::GatedModule;
using gatedpaths::LayerDrop;
using gatedpaths::LayerDropOptions;
using gatedpaths::Path;
using gatedpaths::PathSpace;
using gatedpaths::StochasticDepth;
using gatedpaths::StochasticDepthOptions;
using gatedpaths::test::fake_gate;
using gatedpaths::test::FakeGate;
using gatedpaths::test::holder;
using gatedpaths::test::message_of;
using torch::nn::Identity;
using torch::nn::Sequential;

namespace {

using ChoiceNames = std::vector<std::string>;

ChoiceNames choices_of(const PathSpace& space) {
  ChoiceNames names;
  for (int64_t i = 0; i < space.num_gates(); ++i) {
    names.push_back(space.gate_name(i));
  }
  return names;
}

bool every_gate(std::string_view, const GatedModule&) { return true; }

ChoiceBlock<Identity> identities() {
  return ChoiceBlock<Identity>({{"x", Identity()}, {"y", Identity()}});
}

// A choice beside layers that are dropped, one inside of one of them, and one
// inside of a branch that is.
struct DroppingNet : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& x) {
    return depth->forward(layers->forward(stem->forward(x)));
  }

  ChoiceBlock<Identity> stem = register_module("stem", identities());
  ChoiceBlock<Identity> inner = identities();
  LayerDrop<> layers = register_module(
      "layers",
      LayerDrop<>(
          LayerDropOptions(0.5).seed(3),
          {{"a", Identity()}, {"b", inner}, {"c", Identity()}}));
  ChoiceBlock<Identity> last = identities();
  StochasticDepth<Sequential> depth = register_module(
      "depth",
      StochasticDepth(
          Sequential(last),
          StochasticDepthOptions(0.5)
              .mode(gatedpaths::DropMode::kBatch)
              .seed(4)));
};

const ChoiceNames kChoices = {"stem", "layers.b", "depth.branch.0"};

}  // namespace

TEST_CASE(
    "PathSpace: gates that draw by themselves are no choices", "[path_space]") {
  DroppingNet net;
  const PathSpace space(net);
  CHECK(choices_of(space) == kChoices);
  CHECK(space.size() == 8);
  CHECK(space.layout()->gate(1).places.empty());
  CHECK(space.to_string(space.at(5)) == "stem=y;layers.b=x;depth.branch.0=y");

  // So a sampled path drops no layer in eval.
  gatedpaths::UniformSampler sampler(space, 7);
  const auto input = torch::ones({2, 3});
  for (int step = 0; step < 50; ++step) {
    net.train();
    const Path path = sampler.next();
    space.apply(path);
    net.forward(input);
    CHECK(space.current() == path);
    net.eval();
    net.forward(input);
    CHECK(net.layers->ran_branches().size() == 3);
    CHECK(net.depth->ran_branches().size() == 1);
    CHECK(space.ran() == space.ran());
    for (const auto& [gate, open] : space.ran()) {
      CHECK(open == path.open_branches(gate));
    }
  }
}

TEST_CASE(
    "PathSpace: a space without gates that draw is what it was",
    "[path_space]") {
  auto net = holder();
  net->add("stem", fake_gate({"a", "b"}));
  net->add("cell", fake_gate({"a", "b", "c"}, 0, 2));
  CHECK(PathSpace(*net) == PathSpace(*net, every_gate));
  CHECK(PathSpace(*net).hash() == 0x6e67fbbb9f7205b3U);
}

TEST_CASE(
    "PathSpace: takes what draws no longer, and leaves out what does now",
    "[path_space]") {
  DroppingNet net;
  net.layers->stop_drawing();
  net.depth->stop_drawing();
  CHECK(
      choices_of(PathSpace(net)) ==
      ChoiceNames{"stem", "layers", "layers.b", "depth.branch.0"});
  net.stem->draw_each_forward(1);
  CHECK(
      choices_of(PathSpace(net)) ==
      ChoiceNames{"layers", "layers.b", "depth.branch.0"});
  CHECK_FALSE(net.stem->is_choice());
  CHECK(net.inner->is_choice());
  CHECK_FALSE(net.depth->is_choice());
  net.stem->stop_drawing();
  CHECK(net.stem->is_choice());
}

TEST_CASE("PathSpace: a filter says which gates it takes", "[path_space]") {
  DroppingNet net;
  std::map<std::string, int> asked;
  const PathSpace layers(
      net, [&](std::string_view name, const GatedModule& gate) {
        ++asked[std::string(name)];
        return gate.gate_kind() == "LayerDrop";
      });
  CHECK(choices_of(layers) == ChoiceNames{"layers"});
  CHECK(
      asked == std::map<std::string, int>{
                   {"stem", 1},
                   {"layers", 1},
                   {"layers.b", 1},
                   {"depth", 1},
                   {"depth.branch.0", 1}});
  CHECK(layers.size() == 7 + 1);

  // In training it goes on drawing; in eval the path holds.
  const auto input = torch::ones({2, 3});
  int others = 0;
  for (int step = 0; step < 20; ++step) {
    layers.apply(layers.parse("layers=a+c"));
    net.train();
    net.forward(input);
    others += net.layers->ran_branches() == c10::IntArrayRef({0, 2}) ? 0 : 1;
    net.eval();
    net.forward(input);
    CHECK(net.layers->ran_branches() == c10::IntArrayRef({0, 2}));
  }
  CHECK(others > 10);

  const PathSpace all(net, every_gate);
  CHECK(
      choices_of(all) ==
      ChoiceNames{"stem", "layers", "layers.b", "depth", "depth.branch.0"});
  CHECK(all.layout()->gate(2).places.front() == gatedpaths::GatePlace{1, 1});
  CHECK(choices_of(PathSpace(net, [](std::string_view, const GatedModule&) {
          return false;
        })).empty());
  CHECK(message_of<c10::ValueError>([&] {
          PathSpace(net, gatedpaths::GateFilter());
        }) == "PathSpace: expected a filter of gates, got an empty function");
  CHECK(message_of<c10::ValueError>([] {
          PathSpace(nullptr, every_gate);
        }) == "PathSpace: expected a network, got none");
}

TEST_CASE(
    "PathSpace: of what a left out gate did not run, nothing ran",
    "[path_space]") {
  DroppingNet net;
  const PathSpace space(net);
  const auto input = torch::ones({2, 3});
  bool ran[2] = {false, false};
  for (int step = 0; step < 40; ++step) {
    net.forward(input);
    const auto layers = net.layers->ran_branches().vec();
    const bool runs =
        std::find(layers.begin(), layers.end(), 1) != layers.end();
    ran[runs ? 1 : 0] = true;
    const Path now = space.ran();
    CHECK(now.open_branches(0).size() == 1);
    CHECK(now.open_branches(1).size() == (runs ? 1 : 0));
    CHECK(now.open_branches(2).size() == net.depth->ran_branches().size());
  }
  CHECK(ran[0]);
  CHECK(ran[1]);
}

TEST_CASE(
    "PathSpace: the root, a nested gate and a shared one can be left out",
    "[path_space]") {
  const auto shared = fake_gate({"x", "y"});
  const auto middle =
      fake_gate({"a", "b"}, 1, 1, FakeGate::Inside{{"a", shared}});
  const auto root =
      fake_gate({"p", "q"}, 1, 1, FakeGate::Inside{{"q", middle}});
  const auto without = [](const std::string& left_out) {
    return [left_out](std::string_view name, const GatedModule&) {
      return name != left_out;
    };
  };
  const PathSpace no_root(*root, without("."));
  CHECK(choices_of(no_root) == ChoiceNames{"q", "q.a"});
  CHECK(no_root.layout()->gate(0).places.empty());
  const PathSpace no_middle(*root, without("q"));
  CHECK(choices_of(no_middle) == ChoiceNames{".", "q.a"});
  REQUIRE(no_middle.layout()->gate(1).places.size() == 1);
  CHECK(no_middle.layout()->gate(1).places[0] == gatedpaths::GatePlace{0, 1});
  CHECK(no_middle.size() == 3);

  // What is in a branch of one gate and of one that is left out is reached in
  // any case.
  auto net = holder();
  net->add("root", root);
  net->add(
      "other", fake_gate({"m", "n"}, 1, 1, FakeGate::Inside{{"m", shared}}));
  const PathSpace partly(*net, without("other"));
  CHECK(choices_of(partly) == ChoiceNames{"root", "root.q", "root.q.a"});
  CHECK(partly.layout()->gate(2).places.empty());

  // A copy of the space knows as much.
  PathSpace copy = no_middle;
  middle->set_open({1});
  root->set_open({1});
  CHECK(copy.ran().open_branches(1).empty());
  CHECK(copy.current().open_branches(1).size() == 1);
}
