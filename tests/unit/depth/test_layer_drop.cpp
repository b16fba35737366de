// SPDX-License-Identifier: MIT
#include <gatedpaths/depth/layer_drop.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/training/open_optimizer.hpp>

#include <torch/nn/cloneable.h>
#include <torch/nn/modules/container/any.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/serialize.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"
#include "support/chi_square.hpp"
#include "support/counting_child.hpp"
#include "support/errors.hpp"
#include "support/finite_difference.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::AnyBranch;
using gatedpaths::DrawState;
using gatedpaths::GatedBranch;
using gatedpaths::GatedBranchOptions;
using gatedpaths::GatedModule;
using gatedpaths::LayerDrop;
using gatedpaths::LayerDropImpl;
using gatedpaths::LayerDropOptions;
using gatedpaths::NamedBranch;
using gatedpaths::OpenOptimizer;
using gatedpaths::PathSpace;
using gatedpaths::Skip;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::all_defined;
using gatedpaths::test::bit_equal;
using gatedpaths::test::copies_of;
using gatedpaths::test::deviations;
using gatedpaths::test::deviations_from_uniform;
using gatedpaths::test::FunctionChild;
using gatedpaths::test::gradient_error;
using gatedpaths::test::gradients_of;
using gatedpaths::test::message_of;
using gatedpaths::test::none_defined;
using gatedpaths::test::random_stream;
using torch::nn::Linear;

namespace {

using Layers = std::vector<int64_t>;

std::vector<Linear> stack_of_linear(int64_t count) {
  torch::manual_seed(1);
  std::vector<Linear> layers;
  for (int64_t i = 0; i < count; ++i) {
    layers.emplace_back(3, 3);
    layers.back()->to(torch::kDouble);
  }
  return layers;
}

// Layer i multiplies by a power of its own, so that the output tells which ran.
LayerDrop<FunctionChild> stack_of_powers(
    int64_t count, const LayerDropOptions& options) {
  std::vector<FunctionChild> layers;
  for (int64_t i = 0; i < count; ++i) {
    const double factor = std::pow(2.0, std::pow(2.0, i));
    layers.push_back(
        FunctionChild([factor](const torch::Tensor& x) { return x * factor; }));
  }
  return {options, layers};
}

// The layers that a forward ran, as bits.
size_t layers_run(LayerDrop<FunctionChild>& stack) {
  const auto y = stack->forward(torch::ones({1}, torch::kDouble));
  const auto bits = static_cast<size_t>(std::log2(y.item<double>()));
  size_t told = 0;
  for (const int64_t index : stack->ran_branches()) {
    told |= size_t{1} << static_cast<size_t>(index);
  }
  REQUIRE(told == bits);
  return bits;
}

torch::Tensor run_layers(
    const std::vector<Linear>& layers,
    c10::IntArrayRef indices,
    torch::Tensor x) {
  for (const int64_t index : indices) {
    auto layer = layers[static_cast<size_t>(index)];
    x = layer->forward(x);
  }
  return x;
}

struct StackParentImpl : torch::nn::Cloneable<StackParentImpl> {
  StackParentImpl() { reset(); }
  void reset() override {
    stack = register_module(
        "stack",
        LayerDrop<Linear>(
            LayerDropOptions(0.25).seed(3), Linear(3, 3), Linear(3, 3)));
  }
  LayerDrop<Linear> stack = nullptr;
};

}  // namespace

TEST_CASE("LayerDrop: options have defaults", "[layer_drop][options]") {
  const LayerDropOptions options(0.25);
  CHECK(options.drop_rate() == 0.25);
  CHECK(options.min_layers() == 0);
  CHECK_FALSE(options.seed().has_value());
  LayerDrop stack(
      LayerDropOptions(0.5).min_layers(1).seed(9), stack_of_linear(3));
  CHECK(stack->drop_rate() == 0.5);
  CHECK(stack->options.min_layers() == 1);
  CHECK(stack->draw_state() == DrawState{9, 0});
  LayerDrop one(LayerDropOptions(0.5), stack_of_linear(3));
  LayerDrop two(LayerDropOptions(0.5), stack_of_linear(3));
  CHECK(one->draw_state()->seed != two->draw_state()->seed);
}

TEST_CASE(
    "LayerDrop: takes layers in all forms and gives them back typed",
    "[layer_drop]") {
  const auto layers = stack_of_linear(3);
  LayerDrop of_vector(LayerDropOptions(0.5), layers);
  static_assert(std::is_same_v<decltype(of_vector), LayerDrop<Linear>>);
  static_assert(std::is_same_v<decltype(of_vector->layer(0)), Linear>);
  CHECK(of_vector->layer(2).ptr() == layers[2].ptr());
  CHECK(of_vector->branch_names() == std::vector<std::string>{"0", "1", "2"});
  LayerDrop named(
      LayerDropOptions(0.5),
      {{"attention", layers[0]}, {"ffn", torch::nn::ReLU()}});
  static_assert(std::is_same_v<decltype(named), LayerDrop<AnyBranch>>);
  CHECK(named->layer("attention").ptr() == layers[0].ptr());
  CHECK(named->named_parameters().contains("attention.weight"));
  LayerDrop unlike(LayerDropOptions(0.5), layers[0], torch::nn::ReLU());
  static_assert(std::is_same_v<decltype(unlike), LayerDrop<AnyBranch>>);
  LayerDrop alike(LayerDropOptions(0.5), layers[0], layers[1]);
  static_assert(std::is_same_v<decltype(alike), LayerDrop<Linear>>);
  const std::vector<NamedBranch<Linear>> list = {
      {"x", layers[0]}, {"y", layers[1]}};
  LayerDrop from_list(LayerDropOptions(0.5), list);
  static_assert(std::is_same_v<decltype(from_list), LayerDrop<Linear>>);
  CHECK(from_list->branch_names() == std::vector<std::string>{"x", "y"});
  LayerDrop from_rate(0.5, {{"x", layers[0]}});
  static_assert(std::is_same_v<decltype(from_rate), LayerDrop<AnyBranch>>);
  LayerDrop held(from_list.ptr());
  static_assert(std::is_same_v<decltype(held), LayerDrop<Linear>>);
  CHECK(held.ptr() == from_list.ptr());
  LayerDrop<Linear> empty = nullptr;
  CHECK(empty.is_empty());
  LayerDrop any = nullptr;
  static_assert(std::is_same_v<decltype(any), LayerDrop<AnyBranch>>);
  CHECK(any.is_empty());

  const GatedModule& gate = *of_vector;
  CHECK(gate.gate_kind() == "LayerDrop");
  CHECK(gate.min_open() == 0);
  CHECK(gate.max_open() == 3);
  CHECK(&gate.branch_module(1) == layers[1].get());
  CHECK(PathSpace(of_vector).size() == 1);  // it draws by itself
  of_vector->stop_drawing();
  CHECK(PathSpace(of_vector).size() == 8);
}

TEST_CASE(
    "LayerDrop: in eval the layers kept by hand run, all at first",
    "[layer_drop][forward][random]") {
  const auto layers = stack_of_linear(5);
  LayerDrop stack(LayerDropOptions(0.5).min_layers(1).seed(7), layers);
  const auto x = torch::randn({2, 3}, torch::kDouble);
  stack->forward(x);
  const auto state = stack->draw_state();
  const auto stream = random_stream();
  const auto check = [&](const Layers& kept) {
    CHECK(bit_equal(stack->forward(x), run_layers(layers, kept, x)));
    CHECK(stack->ran_branches() == c10::IntArrayRef(kept));
    CHECK(stack->open_branches() == c10::IntArrayRef(kept));
  };
  stack->eval();
  check({0, 1, 2, 3, 4});
  stack->keep_every(2);
  check({0, 2, 4});
  stack->keep_every(3);
  check({0, 3});
  stack->keep_every(std::numeric_limits<int64_t>::max());
  check({0});
  stack->keep_every(1);
  check({0, 1, 2, 3, 4});
  stack->keep_first(2);
  check({0, 1});
  stack->set_open({3, 1});
  check({1, 3});
  CHECK(stack->draw_state() == state);
  CHECK(bit_equal(random_stream(), stream));

  // Draws do not change it; without draws, training runs it.
  stack->train();
  for (int i = 0; i < 5; ++i) {
    stack->forward(x);
  }
  stack->eval();
  check({1, 3});
  stack->train();
  stack->set_drop_rate(0);
  check({1, 3});
  stack->set_drop_rate(0.5);
  stack->stop_drawing();
  check({1, 3});
}

TEST_CASE(
    "LayerDrop: dropped layers are the identity and leave no trace",
    "[layer_drop][forward][backward]") {
  const auto layers = stack_of_linear(4);
  LayerDrop stack(LayerDropOptions(0.5).seed(7), layers);
  const auto stream = random_stream();
  bool none = false;
  for (int i = 0; i < 60; ++i) {
    stack->zero_grad();
    const auto x =
        torch::linspace(-1, 1, 6, torch::kDouble).view({2, 3}).requires_grad_();
    const auto y = stack->forward(x);
    const auto ran = stack->ran_branches();
    CHECK(bit_equal(y, run_layers(layers, ran, x)));
    y.square().sum().backward();
    for (int64_t index = 0; index < 4; ++index) {
      const bool in = std::find(ran.begin(), ran.end(), index) != ran.end();
      const auto gradients = gradients_of(*layers[static_cast<size_t>(index)]);
      CHECK((in ? all_defined(gradients) : none_defined(gradients)));
    }
    if (ran.empty()) {
      none = true;
      CHECK(bit_equal(y, x));
      CHECK_FALSE(y.is_alias_of(x));
    }
  }
  CHECK(none);
  CHECK(stack->draw_state() == DrawState{7, 60});
  CHECK(bit_equal(random_stream(), stream));
}

TEST_CASE(
    "LayerDrop: gradients match finite differences", "[layer_drop][backward]") {
  const auto layers = stack_of_linear(4);
  LayerDrop stack(LayerDropOptions(0.5).min_layers(2).seed(7), layers);
  const auto x = torch::randn({2, 3}, torch::kDouble).requires_grad_();
  const auto loss = [&] {
    stack->set_draw_state({7, 5});
    return stack->forward(x).square().sum();
  };
  loss().backward();
  CHECK(gradient_error(loss, x) < 1e-7);
  for (const int64_t index : Layers(stack->ran_branches().vec())) {
    const auto& layer = layers[static_cast<size_t>(index)];
    CHECK(gradient_error(loss, layer->weight) < 1e-7);
  }
}

TEST_CASE(
    "LayerDrop: the law is that of independent drops, given the floor",
    "[layer_drop][random]") {
  const double rate = GENERATE(0.2, 0.5, 0.9);
  const int64_t floor = GENERATE(0, 1, 3);
  CAPTURE(rate, floor);
  constexpr size_t kSets = 16;
  auto stack =
      stack_of_powers(4, LayerDropOptions(rate).min_layers(floor).seed(7));
  std::vector<double> probabilities;
  std::vector<size_t> place(kSets, kSets);
  double total = 0;
  for (size_t set = 0; set < kSets; ++set) {
    const auto open = std::popcount(set);
    if (open < floor) {
      continue;
    }
    place[set] = probabilities.size();
    probabilities.push_back(
        std::pow(1 - rate, open) * std::pow(rate, 4 - open));
    total += probabilities.back();
  }
  for (double& probability : probabilities) {
    probability /= total;
  }
  std::vector<int64_t> counts(probabilities.size());
  for (int i = 0; i < 2500; ++i) {
    const size_t at = place[layers_run(stack)];
    REQUIRE(at < counts.size());  // at least so many stay
    ++counts[at];
  }
  // Sets that are hardly ever expected would spoil the statistic: one class.
  std::vector<int64_t> merged = {0};
  std::vector<double> expected = {0};
  for (size_t i = 0; i < counts.size(); ++i) {
    if (probabilities[i] * 2500 >= 5) {
      merged.push_back(counts[i]);
      expected.push_back(probabilities[i]);
    } else {
      merged[0] += counts[i];
      expected[0] += probabilities[i];
    }
  }
  if (expected[0] == 0) {
    merged.erase(merged.begin());
    expected.erase(expected.begin());
  }
  CHECK(deviations(merged, expected) < 4);
}

TEST_CASE(
    "LayerDrop: a rate of 1 leaves the floor, each set as likely",
    "[layer_drop][random]") {
  auto none = stack_of_powers(4, LayerDropOptions(1).seed(7));
  CHECK(layers_run(none) == 0);
  auto stack = stack_of_powers(4, LayerDropOptions(1).min_layers(2).seed(7));
  std::map<size_t, int64_t> seen;
  for (int i = 0; i < 1000; ++i) {
    ++seen[layers_run(stack)];
  }
  std::vector<int64_t> counts;
  for (const auto& [set, count] : seen) {
    CHECK(std::popcount(set) == 2);
    counts.push_back(count);
  }
  REQUIRE(counts.size() == 6);
  CHECK(deviations_from_uniform(counts) < 4);
}

TEST_CASE(
    "LayerDrop: draws are a function of seed and step alone",
    "[layer_drop][random]") {
  const auto sequence = [](uint64_t seed, uint64_t step, int count) {
    auto stack = stack_of_powers(5, LayerDropOptions(0.5).seed(seed));
    stack->set_draw_state({seed, step});
    std::vector<size_t> sets;
    for (int i = 0; i < count; ++i) {
      sets.push_back(layers_run(stack));
    }
    CHECK(
        stack->draw_state() ==
        DrawState{seed, step + static_cast<uint64_t>(count)});
    return sets;
  };
  const auto ours = sequence(7, 0, 40);
  CHECK(sequence(7, 0, 40) == ours);
  CHECK(sequence(7, 30, 10) == std::vector(ours.begin() + 30, ours.end()));
  CHECK(sequence(8, 0, 40) != ours);
}

TEST_CASE(
    "LayerDrop: a closed branch around it takes its draws back",
    "[layer_drop][random]") {
  auto stack = stack_of_powers(3, LayerDropOptions(0.5).seed(7));
  GatedBranch branch(stack, GatedBranchOptions().skip(Skip::kNoGrad));
  const auto x = torch::ones({2, 1});
  branch->forward(x);
  branch->set_open(false);
  branch->forward(x);
  CHECK(stack->draw_state() == DrawState{7, 1});
}

TEST_CASE(
    "LayerDrop: OpenOptimizer leaves dropped layers alone",
    "[layer_drop][backward]") {
  const auto layers = stack_of_linear(3);
  LayerDrop stack(LayerDropOptions(0.5).min_layers(1).seed(7), layers);
  torch::optim::SGD sgd(
      stack->parameters(),
      torch::optim::SGDOptions(0.01).momentum(0.9).weight_decay(0.1));
  OpenOptimizer steps(stack.ptr(), PathSpace(stack), sgd);
  const auto x = torch::ones({2, 3}, torch::kDouble);
  for (int i = 0; i < 20; ++i) {
    steps.zero_grad();
    stack->forward(x).square().mean().backward();
    std::vector<std::vector<torch::Tensor>> before;
    for (const auto& layer : layers) {
      before.push_back(copies_of(layer->parameters()));
    }
    const auto ran = stack->ran_branches().vec();
    steps.step();
    for (size_t layer = 0; layer < 3; ++layer) {
      const bool in =
          std::find(ran.begin(), ran.end(), static_cast<int64_t>(layer)) !=
          ran.end();
      CHECK(all_bit_equal(layers[layer]->parameters(), before[layer]) != in);
    }
  }
}

TEST_CASE(
    "LayerDrop: clone shares nothing and keeps everything",
    "[layer_drop][clone]") {
  auto layers = stack_of_linear(3);
  layers[1]->eval();
  layers[0]->weight.set_requires_grad(false);
  LayerDrop stack(LayerDropOptions(0.5).seed(7), layers);
  stack->set_drop_rate(0.25);
  stack->keep_first(2);
  stack->forward(torch::randn({2, 3}, torch::kDouble));
  const auto copy =
      std::dynamic_pointer_cast<LayerDropImpl<Linear>>(stack->clone());
  REQUIRE(copy);
  CHECK(copy->drop_rate() == 0.25);
  CHECK(copy->draw_state() == DrawState{7, 1});
  CHECK(copy->applied_branches() == c10::IntArrayRef({0, 1}));
  CHECK(copy->layer(0).ptr() == copy->children().at(0));
  CHECK(copy->layer(0).ptr() != layers[0].ptr());
  CHECK_FALSE(copy->layer(1)->is_training());
  CHECK_FALSE(copy->layer(0)->weight.requires_grad());
  CHECK(all_bit_equal(copy->parameters(), stack->parameters()));
  CHECK(copy->parameters()[0].data_ptr() != stack->parameters()[0].data_ptr());
  copy->keep_first(1);
  copy->set_drop_rate(0.75);
  CHECK(stack->drop_rate() == 0.25);
  CHECK(stack->applied_branches() == c10::IntArrayRef({0, 1}));

  const StackParentImpl parent;
  const auto twin = std::dynamic_pointer_cast<StackParentImpl>(parent.clone());
  REQUIRE(twin);
  CHECK(twin->stack.ptr() == twin->children().at(0));
  CHECK(twin->stack->drop_rate() == 0.25);
  CHECK(all_bit_equal(twin->parameters(), parent.parameters()));
  CHECK(twin->parameters()[0].data_ptr() != parent.parameters()[0].data_ptr());
}

TEST_CASE(
    "LayerDrop: a layer in two places is registered once",
    "[layer_drop][forward]") {
  auto layers = stack_of_linear(1);
  LayerDrop stack(LayerDropOptions(0), layers[0], layers[0]);
  CHECK(stack->parameters().size() == 2);
  const auto x = torch::randn({2, 3}, torch::kDouble);
  CHECK(
      bit_equal(stack->forward(x), layers[0]->forward(layers[0]->forward(x))));
}

TEST_CASE("LayerDrop: saves and loads by name", "[layer_drop][serialize]") {
  LayerDrop from(LayerDropOptions(0.5), stack_of_linear(2));
  std::stringstream file;
  torch::save(from, file);
  LayerDrop to(LayerDropOptions(0.1), stack_of_linear(2));
  for (auto& parameter : to->parameters()) {
    parameter.detach().zero_();
  }
  CHECK_FALSE(all_bit_equal(from->parameters(), to->parameters()));
  torch::load(to, file);
  CHECK(all_bit_equal(from->parameters(), to->parameters()));
  CHECK(
      to->named_parameters().keys() ==
      std::vector<std::string>{"0.weight", "0.bias", "1.weight", "1.bias"});
}

TEST_CASE("LayerDrop: prints itself", "[layer_drop][print]") {
  LayerDrop stack(
      LayerDropOptions(0.2).min_layers(1),
      {{"a", Linear(3, 3)}, {"b", Linear(3, 3)}, {"c", Linear(3, 3)}});
  stack->keep_every(2);
  std::ostringstream text;
  stack->pretty_print(text);
  CHECK(
      text.str() ==
      "gatedpaths::LayerDrop(drop_rate=0.2, min_layers=1, open=[a, c])");
}

TEST_CASE(
    "LayerDrop: Sequential and AnyModule hold it", "[layer_drop][forward]") {
  LayerDrop stack(LayerDropOptions(0.5), Linear(3, 3), torch::nn::ReLU());
  torch::nn::Sequential net(Linear(3, 3), stack);
  torch::nn::AnyModule any{stack};
  net->eval();
  const auto x = torch::randn({2, 3});
  CHECK(bit_equal(any.forward(x), stack->forward(x)));
  CHECK(net->forward(x).sizes() == x.sizes());
}

TEST_CASE("LayerDrop: errors name what is wrong", "[layer_drop][error]") {
  const double rate = GENERATE(-0.1, 1.5, std::nan(""));
  const std::string text = std::isnan(rate) ? "nan" : rate < 0 ? "-0.1" : "1.5";
  const auto make = [](const LayerDropOptions& options) {
    LayerDrop<Linear> stack(options, Linear(3, 3), Linear(3, 4));
    return stack;
  };
  CHECK(message_of<c10::ValueError>([&] {
          make(LayerDropOptions(rate));
        }) == "LayerDrop: expected a drop_rate in [0, 1], got " + text);
  auto stack = make(LayerDropOptions(0.5).min_layers(1));
  CHECK(
      message_of<c10::ValueError>([&] { stack->set_drop_rate(rate); }) ==
      "LayerDrop::set_drop_rate: expected a drop_rate in [0, 1], got " + text);
  CHECK(stack->drop_rate() == 0.5);
  const int64_t floor = GENERATE(-1, 3);
  CHECK(
      message_of<c10::ValueError>(
          [&] { make(LayerDropOptions(0.5).min_layers(floor)); }) ==
      "LayerDrop: expected min_layers in [0, 2], got " + std::to_string(floor));
  CHECK(message_of<c10::ValueError>([&] {
          LayerDrop<Linear>(LayerDropOptions(0.5), std::vector<Linear>());
        }) == "LayerDrop: expected at least one branch, got none");
  CHECK(
      message_of<c10::ValueError>([&] {
        LayerDrop<Linear>(LayerDropOptions(0.5), Linear(3, 3), Linear(nullptr));
      }) ==
      "LayerDrop: expected a module for branch 1 ('1'), got an empty holder");
  const int64_t count = GENERATE(0, 3);
  CHECK(
      message_of<c10::ValueError>([&] { stack->keep_first(count); }) ==
      "LayerDrop::keep_first: expected a count in [1, 2], got " +
          std::to_string(count));
  CHECK(message_of<c10::ValueError>([&] {
          stack->keep_every(0);
        }) == "LayerDrop::keep_every: expected n of at least 1, got 0");
  auto both = make(LayerDropOptions(0.5).min_layers(2));
  CHECK(
      message_of<c10::ValueError>([&] { both->keep_every(2); }) ==
      "LayerDrop::set_open: expected 2 to 2 open branches, got 1 (0) of ('0', "
      "'1')");
  CHECK(message_of<c10::IndexError>([&] {
          stack->layer(2);
        }) == "LayerDrop::branch: expected a branch index in [0, 2), got 2");
  CHECK(message_of<c10::ValueError>([&] {
          stack->forward(torch::Tensor());
        }) == "LayerDrop::forward: expected a tensor, got an undefined one");
  stack->eval();
  CHECK(
      message_of<c10::ValueError>(
          [&] { stack->forward(torch::ones({2, 3})); }) ==
      "LayerDrop::forward: expected layer 1 ('1') to return its input's shape "
      "[2, 3], got [2, 4]");
}
