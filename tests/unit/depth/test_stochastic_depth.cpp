// SPDX-License-Identifier: MIT
#include <gatedpaths/depth/stochastic_depth.hpp>

#include <gatedpaths/paths/path_space.hpp>

#include <torch/nn/modules/container/sequential.h>

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/counting_child.hpp"
#include "support/errors.hpp"
#include "support/snapshot.hpp"
#include "support/stochastic_depth.hpp"

using gatedpaths::AnyBranch;
using gatedpaths::DrawState;
using gatedpaths::DropMode;
using gatedpaths::DropScale;
using gatedpaths::GatedModule;
using gatedpaths::PathSpace;
using gatedpaths::StochasticDepth;
using gatedpaths::StochasticDepthImpl;
using gatedpaths::StochasticDepthOptions;
using gatedpaths::to_string;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::depth_forward_until;
using gatedpaths::test::depth_options;
using gatedpaths::test::FunctionChild;
using gatedpaths::test::kDepthRate;
using gatedpaths::test::message_of;
using torch::nn::Linear;

namespace {

std::string depth_text(const torch::nn::Module& module) {
  std::ostringstream stream;
  module.pretty_print(stream);
  return stream.str();
}

}  // namespace

TEST_CASE(
    "StochasticDepth: options have defaults", "[stochastic_depth][options]") {
  const StochasticDepthOptions options(0.25);
  CHECK(options.drop_rate() == 0.25);
  CHECK(options.mode() == DropMode::kSubset);
  CHECK(options.scale() == DropScale::kTrainInverse);
  CHECK(options.residual());
  CHECK_FALSE(options.seed().has_value());
  CHECK_FALSE(options.output_shape().has_sizes());

  StochasticDepth depth(
      Linear(3, 4),
      StochasticDepthOptions(0.5)
          .mode(DropMode::kBatch)
          .scale(DropScale::kEval)
          .residual(false)
          .seed(9)
          .output_shape({4}));
  CHECK(depth->drop_rate() == 0.5);
  CHECK(depth->mode() == DropMode::kBatch);
  CHECK(depth->scale() == DropScale::kEval);
  CHECK_FALSE(depth->options.residual());
  CHECK(depth->options.output_shape().has_sizes());
  CHECK(depth->draw_state() == DrawState{9, 0});
}

TEST_CASE(
    "StochasticDepth: modes and scales have names",
    "[stochastic_depth][print]") {
  std::ostringstream stream;
  stream << DropMode::kRow << " " << DropMode::kBatch << " "
         << DropMode::kSubset << " " << DropScale::kNone << " "
         << DropScale::kTrainInverse << " " << DropScale::kTrainRealised << " "
         << DropScale::kEval;
  CHECK(
      stream.str() ==
      "kRow kBatch kSubset kNone kTrainInverse kTrainRealised kEval");
  CHECK(to_string(DropMode::kRow) == "kRow");
  CHECK(to_string(DropScale::kEval) == "kEval");
}

TEST_CASE(
    "StochasticDepth: is a gate with one branch, always open",
    "[stochastic_depth]") {
  const Linear linear(3, 3);
  StochasticDepth depth(linear, 0.5);
  static_assert(std::is_same_v<decltype(depth), StochasticDepth<Linear>>);
  static_assert(std::is_same_v<decltype(depth->child()), Linear>);
  CHECK(depth->child().ptr() == linear.ptr());
  StochasticDepth any(AnyBranch(linear), 0.5);
  static_assert(std::is_same_v<decltype(any), StochasticDepth<AnyBranch>>);
  CHECK(any->child().ptr() == linear.ptr());
  StochasticDepth of_pointer(linear.ptr(), 0.5);
  CHECK(of_pointer->child() == linear.ptr());
  StochasticDepth held(depth.ptr());
  static_assert(std::is_same_v<decltype(held), StochasticDepth<Linear>>);
  CHECK(held.ptr() == depth.ptr());
  StochasticDepth<Linear> empty = nullptr;
  CHECK(empty.is_empty());

  const GatedModule& gate = *depth;
  CHECK(gate.gate_kind() == "StochasticDepth");
  CHECK(gate.branch_names() == std::vector<std::string>{"branch"});
  CHECK(gate.min_open() == 1);
  CHECK(gate.max_open() == 1);
  CHECK(&gate.branch_module(0) == linear.get());
  CHECK(depth->parameters().size() == 2);
  CHECK(depth->named_parameters().contains("branch.weight"));

  torch::nn::Sequential net(Linear(3, 3), depth, any);
  CHECK(PathSpace(net).num_gates() == 0);  // nothing to choose
  const PathSpace space(
      net, [](std::string_view, const GatedModule&) { return true; });
  CHECK(space.num_gates() == 2);
  CHECK(space.size() == 1);
}

TEST_CASE(
    "StochasticDepth: clone shares nothing and keeps everything",
    "[stochastic_depth][clone]") {
  StochasticDepth depth(
      torch::nn::Sequential(Linear(3, 3), torch::nn::BatchNorm1d(3)),
      depth_options(DropMode::kRow, DropScale::kEval));
  depth->child()[1]->eval();
  depth->child()[0]->as<torch::nn::LinearImpl>()->weight.set_requires_grad(
      false);
  depth->set_drop_rate(0.25);
  depth->forward(torch::randn({5, 3}));
  const auto copy =
      std::dynamic_pointer_cast<StochasticDepthImpl<torch::nn::Sequential>>(
          depth->clone());
  REQUIRE(copy);
  CHECK(copy->draw_state() == DrawState{7, 1});
  CHECK(copy->drop_rate() == 0.25);
  CHECK(copy->mode() == DropMode::kRow);
  CHECK(copy->scale() == DropScale::kEval);
  CHECK(copy->child().ptr() != depth->child().ptr());
  CHECK(copy->child().ptr() == copy->children().at(0));
  CHECK_FALSE(copy->child()[1]->is_training());
  CHECK(copy->is_training());
  CHECK(all_bit_equal(copy->parameters(), depth->parameters()));
  CHECK(all_bit_equal(copy->buffers(), depth->buffers()));
  CHECK_FALSE(copy->parameters()[0].requires_grad());
  const auto names = [](const auto& items) { return items.keys(); };
  CHECK(names(copy->named_buffers()) == names(depth->named_buffers()));
  for (size_t i = 0; i < copy->buffers().size(); ++i) {
    CHECK(copy->buffers()[i].data_ptr() != depth->buffers()[i].data_ptr());
  }
  copy->set_drop_rate(0.75);
  CHECK(depth->drop_rate() == 0.25);
  copy->forward(torch::randn({5, 3}));
  CHECK(depth->draw_state() == DrawState{7, 1});
}

TEST_CASE("StochasticDepth: prints itself", "[stochastic_depth][print]") {
  StochasticDepth depth(Linear(3, 4), 0.2);
  CHECK(
      depth_text(*depth) ==
      "gatedpaths::StochasticDepth(drop_rate=0.2, mode=kSubset, "
      "scale=kTrainInverse, residual=true)");
  depth->set_drop_rate(0.25);
  std::ostringstream tree;
  tree << depth;
  CHECK(
      tree.str() ==
      "gatedpaths::StochasticDepth(drop_rate=0.25, mode=kSubset, "
      "scale=kTrainInverse, residual=true)(\n"
      "  (branch): torch::nn::Linear(in_features=3, out_features=4, "
      "bias=true)\n"
      "  (drop): gatedpaths::detail::DropConvention\n"
      ")");
}

TEST_CASE(
    "StochasticDepth: a rate that is no probability is an error",
    "[stochastic_depth][error]") {
  const auto [rate, text] = GENERATE(
      std::pair(-0.1, "-0.1"),
      std::pair(1.5, "1.5"),
      std::pair(std::numeric_limits<double>::quiet_NaN(), "nan"));
  const std::string expected =
      std::string("expected a drop_rate in [0, 1], got ") + text;
  StochasticDepth depth(Linear(3, 3), kDepthRate);
  CHECK(message_of<c10::ValueError>([rate = rate] {
          StochasticDepth(Linear(3, 3), rate);
        }) == "StochasticDepth: " + expected);
  CHECK(message_of<c10::ValueError>([&, rate = rate] {
          depth->set_drop_rate(rate);
        }) == "StochasticDepth::set_drop_rate: " + expected);
  CHECK(depth->drop_rate() == kDepthRate);
}

TEST_CASE(
    "StochasticDepth: errors name what is wrong", "[stochastic_depth][error]") {
  StochasticDepth depth(
      Linear(3, 4), depth_options(DropMode::kSubset, DropScale::kTrainInverse));
  StochasticDepth flat(
      FunctionChild([](const torch::Tensor& x) { return x.flatten(); }),
      depth_options(DropMode::kRow, DropScale::kNone).residual(false));
  const std::vector<std::pair<std::function<void()>, std::string>> cases = {
      {[] { StochasticDepth<Linear>(Linear(nullptr), 0.5); },
       "StochasticDepth: expected a module for branch 0 ('branch'), got an "
       "empty holder"},
      {[&] { depth->forward(torch::randn({5, 3})); },
       "StochasticDepth::forward: expected branch 0 ('branch') to return its "
       "input's shape [3, 3], got [3, 4]; only residual(false) takes another "
       "one"},
      {[&] { depth->forward(torch::Tensor()); },
       "StochasticDepth::forward: expected a tensor, got an undefined one"},
      {[&] { depth->forward(torch::ones(c10::IntArrayRef())); },
       "StochasticDepth::forward: expected an input with a batch dim for "
       "mode=kSubset, got one of []"},
      {[&] { depth_forward_until(flat, torch::randn({5, 3}), true); },
       "StochasticDepth::forward: expected branch 0 ('branch') to return its "
       "input's 5 rows, got an output of [15]"}};
  for (const auto& [action, message] : cases) {
    CHECK(message_of<c10::ValueError>(action) == message);
  }
  CHECK(
      message_of<c10::IndexError>([&] { depth->set_open({1}); }) ==
      "StochasticDepth::set_open: expected a branch index in [0, 1), got 1");
}
