// SPDX-License-Identifier: MIT
// Calls that mean what they look like.
#include <gatedpaths/gates/draw_states.hpp>
#include <gatedpaths/learning/path_losses.hpp>
#include <gatedpaths/paths/bernoulli_sampler.hpp>
#include <gatedpaths/paths/fair_sampler.hpp>
#include <gatedpaths/paths/fixed_sampler.hpp>
#include <gatedpaths/paths/sandwich_sampler.hpp>
#include <gatedpaths/paths/uniform_sampler.hpp>
#include <gatedpaths/paths/weighted_sampler.hpp>

#include <torch/nn/modules/linear.h>

#include <concepts>
#include <limits>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/fake_gate.hpp"
#include "support/samplers.hpp"

using Catch::Matchers::StartsWith;
using gatedpaths::BernoulliSampler;
using gatedpaths::DrawState;
using gatedpaths::DrawStates;
using gatedpaths::FairSampler;
using gatedpaths::FixedSampler;
using gatedpaths::GateValues;
using gatedpaths::Path;
using gatedpaths::PathSpace;
using gatedpaths::Sampler;
using gatedpaths::SandwichSampler;
using gatedpaths::SpaceLayout;
using gatedpaths::UniformSampler;
using gatedpaths::WeightedSampler;
using gatedpaths::test::fake_gate;
using gatedpaths::test::message_of;
using gatedpaths::test::numbered_gate;
using gatedpaths::test::shared_layout;

namespace {

using ReadingGate = gatedpaths::test::FakeGate::Inside;

std::shared_ptr<const SpaceLayout> reading_layout() {
  return shared_layout(
      {numbered_gate("a", 8, 5, 8), numbered_gate("b", 3, 1, 1)});
}

std::shared_ptr<torch::nn::Module> linear_with(int64_t count) {
  return torch::nn::Linear(torch::nn::LinearOptions(count, 1).bias(false))
      .ptr();
}

int64_t parameters_that_run(const PathSpace& space, const Path& path) {
  int64_t count = 0;
  for (const auto& [gate, open] : path) {
    for (const int64_t branch : open) {
      const auto& module = space.gate(gate).branch_module(branch);
      for (const auto& parameter : module.parameters(/*recurse=*/false)) {
        count += parameter.numel();
      }
    }
  }
  return count;
}

template <class T>
concept HasIterators = requires(T&& path) { std::forward<T>(path).begin(); };
static_assert(HasIterators<const Path&>);
static_assert(!HasIterators<Path>);
static_assert(!HasIterators<const Path>);
template <class T>
concept HasLayout = requires(T&& it) { std::forward<T>(it).layout(); };
static_assert(HasLayout<const UniformSampler&>);
static_assert(!HasLayout<UniformSampler>);

}  // namespace

TEST_CASE("Path: what is taken from a temporary one is a copy", "[path]") {
  UniformSampler sampler(reading_layout(), 7);
  for (uint64_t step = 0; step < 20; ++step) {
    const Path kept = sampler.at(step);
    std::vector<int64_t> seen;
    for (const int64_t branch : sampler.next().open_branches(0)) {
      // Memory that a freed path had would be taken by now.
      const std::vector<int64_t> other(kept.open_branches(0).size(), -1);
      seen.push_back(branch + other.front() + 1);
    }
    CHECK(seen == kept.open_branches(0).vec());
    CHECK(sampler.at(step).gates() == kept.gates().vec());
    std::vector<int64_t> gates;
    for (const auto& [gate, open] : sampler.at(step)) {
      gates.push_back(gate);
    }
    CHECK(gates == kept.gates().vec());
  }
}

TEST_CASE(
    "Sampler: what is taken from a temporary one is a copy", "[sampler]") {
  const auto layout = reading_layout();
  const std::vector<Path> paths{layout->at(1), layout->at(2)};
  std::vector<Path> seen;
  for (const Path& path : FixedSampler(layout, paths).paths()) {
    seen.push_back(path);
  }
  CHECK((seen == paths));
  const DrawState& state = UniformSampler(layout, 7).state();
  CHECK(state.seed == 7);
  const auto net = fake_gate({"x", "y"});
  net->draw_each_forward(5);
  std::vector<uint64_t> seeds;
  for (const auto& [key, of_gate] : gatedpaths::draw_states(net).entries()) {
    seeds.push_back(of_gate.seed);
  }
  CHECK(seeds == std::vector<uint64_t>{5});
  const DrawState& of_net = gatedpaths::draw_states(net).at(".", "gate");
  CHECK(of_net.seed == 5);
  const std::string& name = PathSpace(fake_gate({"x", "y"})).gate_name(0);
  CHECK(name == ".");
}

TEST_CASE("Sampler: {} is the numbers of no gate", "[sampler]") {
  const auto net = fake_gate(
      {"small", "large"},
      1,
      1,
      ReadingGate{{"small", linear_with(1)}, {"large", linear_with(9)}});
  const PathSpace space(net);
  const auto paths = [](const Sampler& sampler) {
    return gatedpaths::test::first_paths(sampler, 20);
  };
  CHECK(
      paths(BernoulliSampler(space, 7, {})) ==
      paths(BernoulliSampler(space, 7, GateValues())));
  CHECK(
      paths(BernoulliSampler(space, 7, 0.5)) ==
      paths(BernoulliSampler(space, 7, GateValues())));
  CHECK(
      paths(BernoulliSampler(space, 7, 0.5F)) ==
      paths(BernoulliSampler(space, 7, 0.5)));
  CHECK(
      paths(WeightedSampler(space, 7, {})) ==
      paths(WeightedSampler(space, 7, GateValues())));
  // All sizes are 0 then, and the cycle is as long as ever.
  const SandwichSampler sandwich(space, 1, {});
  CHECK(sandwich.cycle() == 4);
  CHECK(space.to_string(sandwich.largest()) == ".=small");
  CHECK(SandwichSampler(space, 1, 0).cycle() == 2);
  CHECK(SandwichSampler(space, 1, uint8_t{3}).cycle() == 5);
  CHECK(space.to_string(SandwichSampler(space, 1).largest()) == ".=large");
  CHECK_THAT(
      message_of<c10::ValueError>(
          [] { gatedpaths::target_rate_loss(torch::rand({4, 2}), {}); }),
      StartsWith("target_rate_loss: expected 1 target, or 1 for each of 2 "
                 "gates, got 0"));
  CHECK(
      gatedpaths::target_rate_loss(torch::zeros({4, 2}), 1).item<float>() == 2);
}

TEST_CASE(
    "SandwichSampler: what a nested path does not open does not count",
    "[sandwich_sampler]") {
  // Branch "choice" holds 99 parameters, of which a path runs 1 to 50.
  const auto inner = fake_gate(
      {"a", "b", "c"},
      1,
      1,
      ReadingGate{
          {"a", linear_with(1)},
          {"b", linear_with(48)},
          {"c", linear_with(50)}});
  const auto net = fake_gate(
      {"choice", "plain", "none"},
      1,
      1,
      ReadingGate{{"choice", inner}, {"plain", linear_with(55)}});
  const PathSpace space(net);
  const SandwichSampler sampler(space, 7);
  CHECK(space.to_string(sampler.largest()) == ".=plain");
  CHECK(space.to_string(sampler.smallest()) == ".=none");

  for (uint64_t seed = 0; seed < 50; ++seed) {
    // Branches of two levels, with sizes that are a function of the seed.
    const auto size = [&](uint64_t place) {
      return linear_with(
          static_cast<int64_t>(1 + (seed * 7919 + place * 104729) % 61));
    };
    const auto level = [&](uint64_t place) {
      return fake_gate(
          {"x", "y", "z"},
          1,
          2,
          ReadingGate{
              {"x", size(place)},
              {"y", size(place + 1)},
              {"z", size(place + 2)}});
    };
    const auto tree = fake_gate(
        {"p", "q", "r"},
        1,
        1,
        ReadingGate{{"p", level(0)}, {"q", level(3)}, {"r", size(6)}});
    const PathSpace trees(tree);
    const SandwichSampler sandwich(trees, 7);
    int64_t most = 0;
    int64_t least = std::numeric_limits<int64_t>::max();
    for (uint64_t i = 0; i < trees.size(); ++i) {
      const int64_t count = parameters_that_run(trees, trees.at(i));
      most = std::max(most, count);
      least = std::min(least, count);
    }
    CHECK(parameters_that_run(trees, sandwich.largest()) == most);
    CHECK(parameters_that_run(trees, sandwich.smallest()) == least);
  }
}

TEST_CASE(
    "Sampler: refuses the state of another kind, of other parameters and of "
    "another space",
    "[sampler][error]") {
  const auto layout = reading_layout();
  std::vector<std::unique_ptr<Sampler>> samplers;
  samplers.push_back(std::make_unique<UniformSampler>(layout, 7));
  samplers.push_back(std::make_unique<BernoulliSampler>(layout, 7, 0.5));
  samplers.push_back(std::make_unique<BernoulliSampler>(layout, 7, 0.25));
  samplers.push_back(
      std::make_unique<WeightedSampler>(layout, 7, GateValues()));
  samplers.push_back(std::make_unique<WeightedSampler>(
      layout, 7, GateValues{{"b", {1, 2, 3}}}));
  samplers.push_back(
      std::make_unique<FixedSampler>(layout, std::vector{layout->at(1)}));
  samplers.push_back(
      std::make_unique<FixedSampler>(layout, std::vector{layout->at(2)}));
  samplers.push_back(
      std::make_unique<SandwichSampler>(layout, 7, GateValues(), 2));
  samplers.push_back(
      std::make_unique<SandwichSampler>(layout, 7, GateValues(), 3));
  samplers.push_back(std::make_unique<UniformSampler>(
      shared_layout({numbered_gate("a", 2, 1, 1)}), 7));
  samplers.push_back(std::make_unique<FairSampler>(
      shared_layout({numbered_gate("a", 2, 1, 1)}), 7));
  for (size_t i = 0; i < samplers.size(); ++i) {
    samplers[i]->next();
    for (size_t k = 0; k < samplers.size(); ++k) {
      CAPTURE(i, k);
      const DrawState before = samplers[k]->state();
      DrawStates states;
      states.add("sampler", samplers[i]->state());
      torch::serialize::OutputArchive out;
      states.save(out);
      std::stringstream stream;
      out.save_to(stream);
      torch::serialize::InputArchive in;
      in.load_from(stream);
      DrawStates loaded;
      loaded.load(in);
      const DrawState& state = loaded.at("sampler");
      CHECK(state.source == samplers[i]->state().source);
      if (i == k) {
        samplers[k]->set_state(state);
        continue;
      }
      CHECK_THAT(
          message_of<c10::ValueError>([&] { samplers[k]->set_state(state); }),
          StartsWith("Sampler::set_state: expected a state of the same kind, "
                     "parameters and space (source 0x"));
      CHECK(samplers[k]->state() == before);
    }
    // One that is written by hand is taken as it is.
    samplers[i]->set_state({3, 4});
    CHECK(samplers[i]->state() == DrawState{3, 4});
    CHECK(samplers[i]->state().source != 0);
  }
}

TEST_CASE("DrawStates: loads an archive without sources", "[draw_states]") {
  torch::serialize::OutputArchive out;
  out.write("draw_names", c10::IValue(c10::List<std::string>({"sampler"})));
  out.write("draw_kinds", c10::IValue(c10::List<std::string>({""})));
  out.write("draw_numbers", c10::IValue(c10::List<int64_t>({7, 5})));
  std::stringstream stream;
  out.save_to(stream);
  torch::serialize::InputArchive in;
  in.load_from(stream);
  DrawStates states;
  states.load(in);
  CHECK(states.at("sampler") == DrawState{7, 5});
  CHECK(DrawState(states.at("sampler")).source == 0);
}

TEST_CASE("Sampler: no step follows the last one", "[sampler][error]") {
  constexpr uint64_t kLast = std::numeric_limits<uint64_t>::max();
  const std::string message =
      "DrawState::take_step: expected a step that another one follows, got "
      "18446744073709551615, the last one";
  UniformSampler sampler(reading_layout(), 7);
  sampler.set_step(kLast - 1);
  const Path path = sampler.next();
  CHECK(path == sampler.at(kLast - 1));
  CHECK(sampler.step() == kLast);
  CHECK_NOTHROW(sampler.at(kLast));
  CHECK(message_of<c10::Error>([&] { sampler.next(); }) == message);
  CHECK(sampler.step() == kLast);

  const auto gate = fake_gate({"x", "y"});
  gate->set_draw_state({7, kLast});
  CHECK(message_of<c10::Error>([&] { gate->forward(); }) == message);
  CHECK(gate->draw_state() == DrawState{7, kLast});
}

TEST_CASE(
    "GateValues: a gate that is named twice is refused", "[sampler][error]") {
  const auto message =
      std::string("GateValues: expected each gate once, got 'a' twice");
  CHECK(message_of<c10::ValueError>([] {
          GateValues{{"a", 1}, {"b", 2}, {"a", 3}};
        }) == message);
  CHECK(message_of<c10::ValueError>([] {
          WeightedSampler(
              shared_layout({numbered_gate("a", 2, 1, 1)}),
              7,
              {{"a", {1, 2}}, {"a", {2, 1}}});
        }) == message);
  const std::map<std::string, gatedpaths::BranchValues> map{{"a", {1, 2}}};
  CHECK(GateValues(map).size() == 1);
  CHECK(GateValues(map).at("a").values() == std::vector<double>{1, 2});
}

TEST_CASE(
    "SpaceLayout: a branch without a name is refused",
    "[space_layout][error]") {
  // In a path's text, an open branch '' would read as none.
  CHECK(
      message_of<c10::ValueError>(
          [] { SpaceLayout({{"g", {"", "b"}, 0, 1, {}}}); }) ==
      "SpaceLayout: expected a name for each branch of gate 'g', got an "
      "empty one");
  CHECK_THROWS_AS(fake_gate({"", "b"}), c10::ValueError);
}
