// SPDX-License-Identifier: MIT
// Branches that change their input in place, see GatedModule.
#include <gatedpaths/depth/layer_drop.hpp>
#include <gatedpaths/depth/stochastic_depth.hpp>
#include <gatedpaths/gates/branch_weighting.hpp>
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>

#include <torch/nn/modules/common.h>

#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/counting_child.hpp"
#include "support/errors.hpp"
#include "support/sample_gates.hpp"
#include "support/tensors.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using gatedpaths::BranchWeighting;
using gatedpaths::ChoiceBlock;
using gatedpaths::ChoiceBlockOptions;
using gatedpaths::ClosedValue;
using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::DropMode;
using gatedpaths::GatedBranch;
using gatedpaths::GatedBranchOptions;
using gatedpaths::LayerDrop;
using gatedpaths::LayerDropOptions;
using gatedpaths::Skip;
using gatedpaths::StochasticDepth;
using gatedpaths::StochasticDepthOptions;
using gatedpaths::test::bit_equal;
using gatedpaths::test::FunctionChild;
using gatedpaths::test::largest_difference;
using gatedpaths::test::mask_of;
using gatedpaths::test::message_of;
using torch::nn::Identity;

namespace {

// A way of running a forward.
struct InPlaceMode {
  bool training;
  bool grad;
  bool inference = false;
};

std::ostream& operator<<(std::ostream& stream, const InPlaceMode& mode) {
  return stream << (mode.training ? "train" : "eval")
                << (mode.inference ? ", inference mode"
                    : mode.grad    ? ""
                                   : ", no grad");
}

InPlaceMode any_in_place_mode() {
  return GENERATE(
      InPlaceMode{true, true},
      InPlaceMode{true, false},
      InPlaceMode{true, false, true},
      InPlaceMode{false, true},
      InPlaceMode{false, false},
      InPlaceMode{false, false, true});
}

// While it lives, and for the modules that it is given.
class InPlaceScope {
 public:
  explicit InPlaceScope(const InPlaceMode& mode)
      : training_(mode.training),
        inference_(mode.inference),
        grad_(mode.grad) {}

  void apply(torch::nn::Module& module) const { module.train(training_); }

 private:
  bool training_;
  c10::InferenceMode inference_;
  c10::AutoGradMode grad_;
};

const torch::Tensor& weight_of_four() {
  static const torch::Tensor weight =
      torch::arange(16, torch::kDouble).view({4, 4}) / 7 - 1;
  return weight;
}

// Made in the scope, so that it is an inference tensor there, with a past.
torch::Tensor in_place_input(int64_t batch = 3) {
  const auto leaf = torch::linspace(-1, 1, batch * 4, torch::kDouble)
                        .view({batch, 4})
                        .requires_grad_(torch::GradMode::is_enabled());
  return leaf * 2;
}

torch::Tensor relu_part(const torch::Tensor& x) {
  return x.relu().mm(weight_of_four());
}

torch::Tensor plain_part(const torch::Tensor& x) {
  return x.mm(weight_of_four().t());
}

// relu_part, but for what it does to its input.
std::vector<std::pair<std::string, FunctionChild>> in_place_children() {
  const auto rest = [](const torch::Tensor& y) {
    return y.view({-1, 4}).mm(weight_of_four());
  };
  return {
      {"relu_",
       FunctionChild([=](torch::Tensor x) { return rest(x.relu_()); })},
      {"a view", FunctionChild([=](const torch::Tensor& x) {
         return rest(x.view({-1}).relu_());
       })},
      {"detached", FunctionChild([=](const torch::Tensor& x) {
         return rest(x.detach().relu_());
       })},
      {"a copy into it", FunctionChild([=](const torch::Tensor& x) {
         const torch::NoGradGuard no_grad;
         x.slice(1, 0, 4).copy_(x.relu());
         return rest(x);
       })}};
}

FunctionChild plain_child() { return FunctionChild(plain_part); }

using InPlaceForward = std::function<torch::Tensor(const torch::Tensor&)>;

struct InPlaceCase {
  std::string name;
  std::string blamed;  // the branch, as the message names it
  std::shared_ptr<torch::nn::Module> module;
  InPlaceForward forward;
  bool trains_only = false;
};

template <class Gate>
InPlaceCase in_place_case(
    const std::string& name, const std::string& blamed, Gate gate) {
  return {name, blamed, gate.ptr(), [gate](const auto& x) mutable {
            return gate->forward(x);
          }};
}

template <class Gate>
InPlaceCase in_place_case(
    const std::string& name,
    const std::string& blamed,
    Gate gate,
    const torch::Tensor& open) {
  return {name, blamed, gate.ptr(), [gate, open](const auto& x) mutable {
            return gate->forward(x, open);
          }};
}

// Every gate in which something reads the input after `child`.
std::vector<InPlaceCase> refused_cases(const FunctionChild& child) {
  std::vector<InPlaceCase> cases;
  const std::string first = "branch 0 ('a')";
  const auto choice = [&](const ChoiceBlockOptions& options) {
    return ChoiceBlock<>(options, {{"a", child}, {"b", plain_child()}});
  };
  const auto concat = [&](const ConcatGateOptions& options) {
    return ConcatGate<>(options, {{"a", child}, {"b", plain_child()}});
  };
  cases.push_back(in_place_case(
      "ChoiceBlock, two of two",
      first,
      choice(ChoiceBlockOptions().max_open(2))));
  cases.push_back(in_place_case(
      "ConcatGate, both open", first, concat(ConcatGateOptions(1))));
  for (const auto value : {ClosedValue::kZeros, ClosedValue::kDetached}) {
    auto gate =
        concat(ConcatGateOptions(1).skip(Skip::kNoGrad).closed_value(value));
    gate->set_open({0});
    cases.push_back(
        in_place_case("ConcatGate, a closed one after", first, gate));
    auto closed =
        concat(ConcatGateOptions(1).skip(Skip::kNoGrad).closed_value(value));
    closed->set_open({1});
    cases.push_back(in_place_case("ConcatGate, closed", first, closed));
    auto block =
        choice(ChoiceBlockOptions().skip(Skip::kNoGrad).closed_value(value));
    block->select(1);
    cases.push_back(in_place_case("ChoiceBlock, closed", first, block));
    GatedBranch branch(
        child, GatedBranchOptions().skip(Skip::kNoGrad).closed_value(value));
    branch->set_open(false);
    cases.push_back(
        in_place_case("GatedBranch, closed", "branch 0 ('branch')", branch));
  }

  auto mixed = choice({});
  mixed->set_weighting(std::make_shared<BranchWeighting>(
      BranchWeighting{.logits = torch::zeros({2}, torch::kDouble)}));
  cases.push_back(in_place_case("ChoiceBlock, mixed", first, mixed));
  cases.back().trains_only = true;

  const auto all = mask_of({"1", "1", "1"});
  cases.push_back(in_place_case(
      "GatedBranch, all samples",
      "branch 0 ('branch')",
      GatedBranch(child),
      all.flatten()));
  cases.push_back(in_place_case(
      "ChoiceBlock, all samples",
      first,
      choice({}),
      mask_of({"10", "10", "10"})));
  cases.push_back(in_place_case(
      "ChoiceBlock, all samples in two",
      first,
      choice(ChoiceBlockOptions().max_open(2)),
      mask_of({"11", "11", "11"})));
  cases.push_back(in_place_case(
      "ConcatGate, all samples in one",
      first,
      concat(ConcatGateOptions(1)),
      mask_of({"10", "11", "10"})));

  for (const bool residual : {true, false}) {
    for (const auto mode :
         {DropMode::kRow, DropMode::kBatch, DropMode::kSubset}) {
      for (const double rate : {0.0, 0.4}) {
        StochasticDepth<> depth(
            child,
            StochasticDepthOptions(rate).mode(mode).residual(residual).seed(2));
        cases.push_back(
            in_place_case("StochasticDepth", "branch 0 ('branch')", depth));
      }
    }
  }
  for (const int64_t before : {0, 1}) {
    std::vector<gatedpaths::NamedBranch<>> layers;
    for (int64_t i = 0; i < before; ++i) {
      layers.emplace_back("before", plain_child());
    }
    layers.emplace_back("a", child);
    LayerDrop<> stack(LayerDropOptions(0.0), layers);
    cases.push_back(in_place_case(
        "LayerDrop", "branch " + std::to_string(before) + " ('a')", stack));
  }
  return cases;
}

}  // namespace

TEST_CASE(
    "InPlace: a branch after which the input is read again leaves it alone",
    "[in_place][forward][error]") {
  const auto mode = any_in_place_mode();
  CAPTURE(mode);
  const InPlaceScope scope(mode);
  for (const auto& [way, child] : in_place_children()) {
    for (const InPlaceCase& one : refused_cases(child)) {
      CAPTURE(way, one.name, one.blamed);
      scope.apply(*one.module);
      if (one.trains_only && !one.module->is_training()) {
        continue;
      }
      CHECK_THAT(
          message_of<c10::ValueError>([&] {
            for (int i = 0; i < 8; ++i) {  // a draw may leave it closed
              one.forward(in_place_input());
            }
          }),
          ContainsSubstring(
              "::forward: expected " + one.blamed +
              " to leave its input as it is") &&
              ContainsSubstring("got one that is changed in place"));
    }
  }
}

TEST_CASE(
    "InPlace: the only branch that runs may work in place",
    "[in_place][forward]") {
  const auto mode = any_in_place_mode();
  CAPTURE(mode);
  const InPlaceScope scope(mode);
  for (const auto& [way, child] : in_place_children()) {
    CAPTURE(way);
    ChoiceBlock<> block({{"a", child}, {"b", plain_child()}});
    ConcatGate<> gate(ConcatGateOptions(1), {{"a", child}});
    ConcatGate<> closed(
        ConcatGateOptions(1).skip(Skip::kNoGrad),
        {{"b", plain_child()}, {"a", child}});
    closed->set_open({1});
    GatedBranch branch(child);
    GatedBranch no_grad(child, GatedBranchOptions().skip(Skip::kNoGrad));
    const auto runs = [&](auto& module) {
      scope.apply(*module);
      auto x = in_place_input();
      const auto expected = relu_part(x);
      const auto relu = x.relu();
      const auto actual = module->forward(x);
      CHECK(bit_equal(actual.narrow(1, actual.size(1) - 4, 4), expected));
      CHECK(bit_equal(x, relu));
    };
    runs(block);
    runs(gate);
    runs(closed);
    runs(branch);
    runs(no_grad);
  }
}

TEST_CASE(
    "InPlace: the last of several branches may work in place",
    "[in_place][forward]") {
  const auto mode = any_in_place_mode();
  CAPTURE(mode);
  const InPlaceScope scope(mode);
  for (const auto& [way, child] : in_place_children()) {
    CAPTURE(way);
    // What came before is the input itself, a view of it, or computed from it.
    const std::vector<std::pair<gatedpaths::AnyBranch, InPlaceForward>> firsts =
        {{Identity(), [](const auto& x) { return x; }},
         {FunctionChild([](const torch::Tensor& x) { return x.view_as(x); }),
          [](const auto& x) { return x; }},
         {FunctionChild([](const torch::Tensor& x) { return x * 3; }),
          [](const auto& x) { return x * 3; }}};
    for (const auto& [first, function] : firsts) {
      const auto x = in_place_input();
      const auto a = function(x);
      const auto b = relu_part(x);
      ChoiceBlock<> block(
          ChoiceBlockOptions().max_open(2), {{"a", first}, {"b", child}});
      scope.apply(*block);
      CHECK(bit_equal(block->forward(x.clone()), a + b));
      ConcatGate<> gate(ConcatGateOptions(1), {{"a", first}, {"b", child}});
      scope.apply(*gate);
      CHECK(bit_equal(gate->forward(x.clone()), torch::cat({a, b}, 1)));
      const auto slots = gate->forward_slots(x.clone());
      CHECK(bit_equal(slots.at(0), a));
      CHECK(bit_equal(slots.at(1), b));
    }
  }
}

TEST_CASE(
    "InPlace: samples that were gathered may be changed in place",
    "[in_place][forward]") {
  const auto mode = any_in_place_mode();
  CAPTURE(mode);
  const InPlaceScope scope(mode);
  for (const auto& [way, child] : in_place_children()) {
    CAPTURE(way);
    const auto x = in_place_input();
    const auto kept = x.clone();
    ConcatGate<> gate(
        ConcatGateOptions(1), {{"a", child}, {"b", plain_child()}});
    scope.apply(*gate);
    const auto actual = gate->forward(x, mask_of({"11", "01", "11"}));
    CHECK(bit_equal(actual.narrow(1, 4, 4), plain_part(kept)));
    CHECK(
        largest_difference(actual[0].narrow(0, 0, 4), relu_part(kept)[0]) <
        1e-14);
    CHECK(bit_equal(x, kept));
  }
}

TEST_CASE(
    "InPlace: no argument of several is changed by a closed branch",
    "[in_place][forward][error]") {
  struct ScalesImpl : torch::nn::Module {
    torch::Tensor forward(
        const torch::Tensor& x,
        std::tuple<torch::Tensor, std::optional<torch::Tensor>> state) {
      std::get<1>(state)->mul_(2);
      return x + *std::get<1>(state);
    }
  };
  const auto mode = any_in_place_mode();
  const bool samples = GENERATE(false, true);
  CAPTURE(mode, samples);
  const InPlaceScope scope(mode);
  GatedBranch branch(
      std::make_shared<ScalesImpl>(),
      samples ? GatedBranchOptions().sample_arguments({0})
              : GatedBranchOptions().skip(Skip::kNoGrad));
  scope.apply(*branch);
  const auto x = in_place_input();
  const std::tuple state(
      in_place_input(), std::optional(in_place_input().detach().clone()));
  const auto all = torch::ones({3}, torch::kBool);
  CHECK_THAT(
      message_of<c10::ValueError>([&] {
        if (samples) {
          branch->forward_samples(all, x, state);
        } else {
          branch->set_open(false);
          branch->forward(x, state);
        }
      }),
      StartsWith(
          "GatedBranch::forward: expected branch 0 ('branch') to leave its "
          "input as it is"));
}

TEST_CASE(
    "InPlace: branches may work in place on all but their input",
    "[in_place][forward]") {
  const auto mode = any_in_place_mode();
  CAPTURE(mode);
  const InPlaceScope scope(mode);
  const FunctionChild own(
      [](const torch::Tensor& x) { return (x * 1).relu_().add_(1); });
  const auto x = in_place_input();
  const auto kept = x.clone();
  const auto part = (kept * 1).relu() + 1;
  for (const auto skip : {Skip::kZeroFill, Skip::kNoGrad}) {
    ChoiceBlock<> block(
        ChoiceBlockOptions().max_open(2).skip(skip),
        {{"a", own}, {"b", own}, {"c", own}});
    scope.apply(*block);
    CHECK(bit_equal(block->forward(x), part + part));
  }
  StochasticDepth<> depth(own, StochasticDepthOptions(0.0));
  LayerDrop<> stack(LayerDropOptions(0.0), {{"a", own}, {"b", own}});
  scope.apply(*depth);
  scope.apply(*stack);
  CHECK(bit_equal(depth->forward(x), kept + part));
  CHECK(bit_equal(stack->forward(x), (part * 1).relu() + 1));
  CHECK(bit_equal(x, kept));
}

TEST_CASE(
    "InPlace: what follows a gate in place never reaches the gate's input",
    "[in_place][forward]") {
  const auto mode = any_in_place_mode();
  CAPTURE(mode);
  const InPlaceScope scope(mode);
  const FunctionChild view([](const torch::Tensor& x) { return x.view_as(x); });
  const auto identity = [](const auto& x) { return x; };
  const auto zero = [](const auto& x) { return torch::zeros_like(x); };
  std::vector<std::tuple<std::string, InPlaceCase, InPlaceForward>> cases;
  const auto add = [&](const std::string& name, auto gate, auto function) {
    cases.emplace_back(name, in_place_case(name, "", gate), function);
  };
  for (const gatedpaths::AnyBranch& same :
       {gatedpaths::AnyBranch(Identity()), gatedpaths::AnyBranch(view)}) {
    for (const int64_t open : {0, 1}) {
      ChoiceBlock<> block({{"same", same}, {"b", plain_child()}});
      block->select(open);
      add("ChoiceBlock",
          block,
          open == 0 ? InPlaceForward(identity) : plain_part);
    }
    for (const bool open : {true, false}) {
      GatedBranch branch(std::make_shared<Identity::Impl>());
      branch->set_open(open);
      add("GatedBranch",
          branch,
          open ? InPlaceForward(identity) : InPlaceForward(zero));
      ConcatGate<> gate(ConcatGateOptions(1), {{"same", same}});
      open ? gate->set_open({0})
           : gate->set_open(std::initializer_list<int64_t>{});
      add("ConcatGate",
          gate,
          open ? InPlaceForward(identity) : InPlaceForward(zero));
    }
    for (const double rate : {0.0, 1.0}) {
      LayerDrop<> stack(LayerDropOptions(rate), {{"same", same}});
      add("LayerDrop", stack, identity);
      StochasticDepth<> depth(
          same, StochasticDepthOptions(rate).residual(false));
      scope.apply(*depth);
      add("StochasticDepth without residual",
          depth,
          rate == 1 && depth->is_training() ? InPlaceForward(zero)
                                            : InPlaceForward(identity));
    }
  }
  StochasticDepth<> dropped(plain_child(), StochasticDepthOptions(1.0));
  scope.apply(*dropped);
  add("StochasticDepth", dropped, [&](const torch::Tensor& x) {
    return dropped->is_training() ? x : x + plain_part(x);
  });
  const auto all = mask_of({"10", "10", "10"});
  const std::vector<gatedpaths::NamedBranch<>> two = {
      {"same", Identity()}, {"b", plain_child()}};
  cases.emplace_back(
      "ChoiceBlock, all samples",
      in_place_case("", "", ChoiceBlock<>(two), all),
      identity);

  for (auto& [name, one, function] : cases) {
    CAPTURE(name);
    scope.apply(*one.module);
    const auto x = in_place_input();
    const auto kept = x.clone();
    auto y = one.forward(x);
    CHECK(bit_equal(y, function(kept)));
    y.relu_();
    CHECK(bit_equal(x, kept));
    CHECK(bit_equal(y + x, function(kept).relu() + kept));
  }
}

TEST_CASE(
    "InPlace: what follows a gate in place changes no gradient",
    "[in_place][backward]") {
  // What came before keeps its output for the backward; in place on a leaf
  // would be an error.
  const bool in_place = GENERATE(true, false);
  const bool leaf = GENERATE(true, false);
  CAPTURE(in_place, leaf);
  const auto gradient = [&](auto gate) {
    const auto x =
        torch::linspace(-1, 1, 8, torch::kDouble).view({2, 4}).requires_grad_();
    auto y = gate->forward(leaf ? x : x.sigmoid());
    y = in_place ? y.mul_(3) : y * 3;
    y.square().sum().backward();
    return x.grad();
  };
  const auto x =
      torch::linspace(-1, 1, 8, torch::kDouble).view({2, 4}).requires_grad_();
  ((leaf ? x : x.sigmoid()) * 3).square().sum().backward();
  ChoiceBlock<> block({{"a", Identity()}, {"b", plain_child()}});
  CHECK(bit_equal(gradient(block), x.grad()));
  CHECK(bit_equal(gradient(GatedBranch(Identity())), x.grad()));
  CHECK(bit_equal(
      gradient(ConcatGate<>(ConcatGateOptions(1), {{"a", Identity()}})),
      x.grad()));
  CHECK(bit_equal(
      gradient(LayerDrop<>(LayerDropOptions(1.0), {{"a", Identity()}})),
      x.grad()));
  CHECK(bit_equal(
      gradient(StochasticDepth<>(Identity(), StochasticDepthOptions(1.0))),
      x.grad()));
}
