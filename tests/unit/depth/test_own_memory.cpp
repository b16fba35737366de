// SPDX-License-Identifier: MIT
// What gates and layers on slots make has memory of its own, see GatedModule.
#include <gatedpaths/depth/layer_drop.hpp>
#include <gatedpaths/depth/stochastic_depth.hpp>
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gate_head.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/slots/slot_batch_norm.hpp>
#include <gatedpaths/slots/slot_conv.hpp>
#include <gatedpaths/slots/slot_linear.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::ChoiceBlockOptions;
using gatedpaths::ClosedValue;
using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::GatedBranch;
using gatedpaths::GatedBranchOptions;
using gatedpaths::GateHead;
using gatedpaths::GateHeadOptions;
using gatedpaths::LayerDrop;
using gatedpaths::LayerDropOptions;
using gatedpaths::Reduction;
using gatedpaths::Skip;
using gatedpaths::SlotBatchNorm1d;
using gatedpaths::SlotBatchNormOptions;
using gatedpaths::SlotConv1d;
using gatedpaths::SlotConv2d;
using gatedpaths::SlotConvOptions;
using gatedpaths::SlotLinear;
using gatedpaths::SlotLinearOptions;
using gatedpaths::StochasticDepth;
using gatedpaths::StochasticDepthOptions;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::copies_of;
using gatedpaths::test::Tensors;
using torch::nn::Identity;
using torch::nn::Module;

namespace {

// Each returns memory that is not its own.
struct ReturnsParameterImpl : torch::nn::Cloneable<ReturnsParameterImpl> {
  ReturnsParameterImpl() { reset(); }
  void reset() override {
    value = register_parameter(
        "value", torch::tensor({{1.0F, -2.0F, 3.0F, -4.0F}}));
  }
  torch::Tensor forward(const torch::Tensor& /*x*/) { return value; }

  torch::Tensor value;
};
TORCH_MODULE(ReturnsParameter);

struct ReturnsBufferImpl : torch::nn::Cloneable<ReturnsBufferImpl> {
  ReturnsBufferImpl() { reset(); }
  void reset() override {
    value =
        register_buffer("value", torch::tensor({{1.0F, -2.0F, 3.0F, -4.0F}}));
  }
  torch::Tensor forward(const torch::Tensor& /*x*/) { return value; }

  torch::Tensor value;
};
TORCH_MODULE(ReturnsBuffer);

struct ReturnsViewImpl : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& x) { return x.view_as(x); }
};
TORCH_MODULE(ReturnsView);

// Its last output lives on in it.
struct KeepsOutputImpl : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& x) { return kept = x * 2; }

  torch::Tensor kept;
};
TORCH_MODULE(KeepsOutput);

struct MemoryCase {
  std::string name;
  Tensors parameters;  // and buffers, and whatever else must not change
  torch::Tensor input;
  std::function<Tensors(const torch::Tensor&)> forward;
};

Tensors memory_of(const std::vector<std::shared_ptr<Module>>& modules) {
  Tensors tensors;
  for (const auto& module : modules) {
    for (const auto& parameter : module->parameters()) {
      tensors.push_back(parameter);
    }
    for (const auto& buffer : module->buffers()) {
      tensors.push_back(buffer);
    }
  }
  return tensors;
}

// A batch of one, so that a parameter can have the output's shape.
torch::Tensor row_of_four() {
  return torch::tensor({{1.0F, -1.0F, 2.0F, -2.0F}});
}

template <class Gate>
MemoryCase memory_case(const std::string& name, Gate gate) {
  return {
      name,
      memory_of({gate.ptr()}),
      row_of_four(),
      [gate](const auto& x) mutable { return Tensors{gate->forward(x)}; }};
}

// A branch in each gate that gives what a single branch returned, closed.
template <class Child>
void add_closed(
    std::vector<MemoryCase>& cases, const std::string& child, Child branch) {
  for (const auto value : {ClosedValue::kZeros, ClosedValue::kDetached}) {
    const auto name = child + ", " + std::string(to_string(value)) + ", ";
    GatedBranch one(
        branch, GatedBranchOptions().skip(Skip::kNoGrad).closed_value(value));
    one->set_open(false);
    cases.push_back(memory_case(name + "GatedBranch", one));
    ChoiceBlock<> block(
        ChoiceBlockOptions()
            .min_open(0)
            .skip(Skip::kNoGrad)
            .closed_value(value),
        {{"a", branch}});
    block->set_open(std::initializer_list<int64_t>{});
    cases.push_back(memory_case(name + "ChoiceBlock", block));
    ConcatGate<> gate(
        ConcatGateOptions(1).skip(Skip::kNoGrad).closed_value(value),
        {{"a", branch}});
    gate->set_open(std::initializer_list<int64_t>{});
    cases.push_back(memory_case(name + "ConcatGate", gate));
    MemoryCase slots = memory_case(name + "Slots", gate);
    slots.forward = [gate](const torch::Tensor& x) mutable {
      return gate->forward_slots(x).values();
    };
    cases.push_back(slots);
  }
}

// Several open branches, or none, of which each returns memory not its own.
void add_gates(std::vector<MemoryCase>& cases) {
  for (const auto reduction : {Reduction::kSum, Reduction::kMean}) {
    cases.push_back(memory_case(
        "ChoiceBlock of two",
        ChoiceBlock<>(
            ChoiceBlockOptions().max_open(2).reduction(reduction),
            {{"a", Identity()}, {"b", ReturnsParameter()}})));
  }
  ConcatGate<> gate(
      ConcatGateOptions(1), {{"a", Identity()}, {"b", ReturnsParameter()}});
  cases.push_back(memory_case("ConcatGate of two", gate));
  ConcatGate<> half(
      ConcatGateOptions(1), {{"a", Identity()}, {"b", Identity()}});
  half->set_open({0});
  cases.push_back(memory_case("ConcatGate, one of two open", half));
  ConcatGate<> closed(
      ConcatGateOptions(1), {{"a", Identity()}, {"b", Identity()}});
  closed->set_open(std::initializer_list<int64_t>{});
  cases.push_back(memory_case("ConcatGate, none open", closed));
  GatedBranch zeros{Identity()};
  zeros->set_open(false);
  cases.push_back(memory_case("GatedBranch, kZeroFill", zeros));

  ConcatGate<> samples(ConcatGateOptions(1), {{"a", Identity()}});
  cases.push_back(
      {"ConcatGate, gates for each sample",
       {},
       torch::tensor({{1.0F, -1.0F}, {2.0F, -2.0F}}),
       [samples](const auto& x) mutable {
         return Tensors{
             samples->forward(x, torch::tensor({true, false}).unsqueeze(1))};
       }});

  for (const bool residual : {true, false}) {
    cases.push_back(memory_case(
        "StochasticDepth",
        StochasticDepth<>(
            Identity(), StochasticDepthOptions(0.0).residual(residual))));
  }
  cases.back() = memory_case(
      "StochasticDepth without residual, dropped",
      StochasticDepth<>(
          Identity(), StochasticDepthOptions(1.0).residual(false)));
}

template <class Layer>
MemoryCase slots_case(
    const std::string& name,
    Layer layer,
    ConcatGate<> gate,
    const torch::Tensor& input) {
  return {
      name,
      memory_of({layer.ptr(), gate.ptr()}),
      input,
      [layer, gate](const auto& x) mutable {
        return Tensors{layer->forward(gate->forward_slots(x))};
      }};
}

void add_slot_layers(std::vector<MemoryCase>& cases) {
  for (const bool opens : {false, true}) {
    for (const bool coast : {false, true}) {
      for (const bool bias : {false, true}) {
        const std::string how = std::string(opens ? ", open" : ", none open") +
                                (coast ? ", coast" : "") +
                                (bias ? ", bias" : "");
        const auto gate = [&](int64_t dim) {
          ConcatGate<> made(
              ConcatGateOptions(dim), {{"a", Identity()}, {"b", Identity()}});
          opens ? made->set_open({1})
                : made->set_open(std::initializer_list<int64_t>{});
          return made;
        };
        const auto linear = [&](int64_t out) {
          return SlotLinear(
              SlotLinearOptions({4, 4}, out).bias(bias).coast(coast));
        };
        cases.push_back(
            slots_case("SlotLinear" + how, linear(3), gate(-1), row_of_four()));
        cases.push_back(slots_case(
            "SlotLinear of [1, 1, 4]" + how,
            linear(3),
            gate(-1),
            row_of_four().unsqueeze(0)));
        cases.push_back(slots_case(
            "SlotLinear of one feature" + how,
            linear(1),
            gate(-1),
            row_of_four()));
        cases.push_back(slots_case(
            "SlotLinear of [4]" + how, linear(3), gate(-1), row_of_four()[0]));
        cases.push_back(slots_case(
            "SlotConv1d" + how,
            SlotConv1d(SlotConvOptions<1>(
                           {2, 2}, torch::nn::Conv1dOptions(4, 3, 1).bias(bias))
                           .coast(coast)),
            gate(1),
            torch::randn({1, 2, 1})));
        cases.push_back(slots_case(
            "SlotConv2d" + how,
            SlotConv2d(SlotConvOptions<2>(
                           {2, 2}, torch::nn::Conv2dOptions(4, 3, 1).bias(bias))
                           .coast(coast)),
            gate(1),
            torch::randn({1, 2, 1, 1})));
      }
    }
  }
  ConcatGate<> both(
      ConcatGateOptions(1), {{"a", Identity()}, {"b", Identity()}});
  SlotBatchNorm1d norm(
      SlotBatchNormOptions({4, 4}, torch::nn::BatchNormOptions(8)));
  norm->eval();
  MemoryCase norms{
      "SlotBatchNorm1d",
      memory_of({norm.ptr()}),
      row_of_four(),
      [norm, both](const auto& x) mutable {
        return norm->forward(both->forward_slots(x)).values();
      }};
  cases.push_back(norms);
}

std::vector<MemoryCase> all_cases() {
  torch::manual_seed(1);
  std::vector<MemoryCase> cases;
  add_closed(cases, "Identity", Identity());
  add_closed(cases, "a parameter", ReturnsParameter());
  add_closed(cases, "a buffer", ReturnsBuffer());
  add_closed(cases, "a view", ReturnsView());
  add_closed(cases, "what the branch keeps", KeepsOutput());
  add_gates(cases);
  add_slot_layers(cases);
  return cases;
}

}  // namespace

TEST_CASE(
    "OwnMemory: what a gate or slot layer makes shares none",
    "[own_memory][forward]") {
  auto cases = all_cases();
  GateHead head(GateHeadOptions(4));
  cases.push_back(
      {"GateHead",
       memory_of({head.ptr()}),
       row_of_four(),
       [head](const auto& x) mutable {
         const auto decision = head->forward(x);
         return Tensors{decision.weight, decision.probability};
       }});
  for (const MemoryCase& one : cases) {
    CAPTURE(one.name);
    Tensors others = one.parameters;
    others.push_back(one.input);
    const auto before = copies_of(others);
    const auto results = one.forward(one.input);
    for (const auto& result : results) {
      for (const auto& other : others) {
        CHECK_FALSE(result.is_alias_of(other));
      }
      const torch::NoGradGuard no_grad;
      result.fill_(-7);
      result.relu_();
    }
    CHECK(all_bit_equal(others, before));
  }
}

TEST_CASE(
    "OwnMemory: an in-place op may follow in training",
    "[own_memory][backward]") {
  for (const MemoryCase& one : all_cases()) {
    CAPTURE(one.name);
    const auto before = copies_of(one.parameters);
    for (auto result : one.forward(one.input)) {
      result.relu_();
      if (result.requires_grad()) {
        result.sum().backward();
      }
    }
    CHECK(all_bit_equal(one.parameters, before));
  }
}

TEST_CASE(
    "OwnMemory: a bias alone gets the gradient of what follows",
    "[own_memory][backward]") {
  SlotLinear layer(SlotLinearOptions({4, 4}, 2));
  {
    const torch::NoGradGuard no_grad;
    layer->bias.copy_(torch::tensor({1.0F, -1.0F}));
  }
  ConcatGate<> gate(
      ConcatGateOptions(1), {{"a", Identity()}, {"b", Identity()}});
  gate->set_open(std::initializer_list<int64_t>{});
  auto output = layer->forward(gate->forward_slots(row_of_four()));
  output.relu_().mul(3).sum().backward();
  CHECK(layer->bias.grad().equal(torch::tensor({3.0F, 0.0F})));
  CHECK(layer->bias.equal(torch::tensor({1.0F, -1.0F})));
}

TEST_CASE(
    "OwnMemory: what a closed branch made itself is not copied",
    "[own_memory][forward]") {
  const void* made = nullptr;
  struct RecordsImpl : torch::nn::Module {
    explicit RecordsImpl(const void** to) : made(to) {}
    torch::Tensor forward(const torch::Tensor& x) {
      auto y = (x * 2).flatten(1);  // a view of what nothing else has
      *made = y.data_ptr();
      return y;
    }
    const void** made;
  };
  const auto records = std::make_shared<RecordsImpl>(&made);
  const auto x = torch::randn({2, 3, 4});
  GatedBranch branch(
      records,
      GatedBranchOptions()
          .skip(Skip::kNoGrad)
          .closed_value(ClosedValue::kDetached));
  branch->set_open(false);
  CHECK(branch->forward(x).data_ptr() == made);
  ConcatGate<> gate(
      ConcatGateOptions(1)
          .skip(Skip::kNoGrad)
          .closed_value(ClosedValue::kDetached),
      {{"a", records}});
  gate->set_open(std::initializer_list<int64_t>{});
  CHECK(gate->forward(x).data_ptr() == made);
  const torch::InferenceMode inference;
  CHECK(branch->forward(x).data_ptr() == made);
}

TEST_CASE(
    "OwnMemory: what a closed branch keeps is copied",
    "[own_memory][forward]") {
  GatedBranch branch(
      KeepsOutput(),
      GatedBranchOptions()
          .skip(Skip::kNoGrad)
          .closed_value(ClosedValue::kDetached));
  branch->set_open(false);
  const auto result = branch->forward(row_of_four());
  CHECK(result.equal(branch->child()->kept));
  CHECK_FALSE(result.is_alias_of(branch->child()->kept));
}

TEST_CASE(
    "OwnMemory: an output is passed on as it came, unless it is the input's",
    "[own_memory][forward]") {
  const auto x = row_of_four();
  const auto apart = [&](const torch::Tensor& result) {
    return result.equal(x) && !result.is_alias_of(x);
  };
  CHECK(apart(GatedBranch(Identity())->forward(x)));
  CHECK(apart(GatedBranch(ReturnsView())->forward(x)));
  CHECK(apart(ChoiceBlock<>({{"a", Identity()}})->forward(x)));
  ConcatGate<> gate(ConcatGateOptions(1), {{"a", ReturnsView()}});
  CHECK(apart(gate->forward(x)));
  CHECK(apart(gate->forward_slots(x).at(0)));
  CHECK(apart(gate->forward_slots(x).dense()));
  CHECK(apart(
      StochasticDepth<>(Identity(), StochasticDepthOptions(1.0))->forward(x)));
  CHECK(apart(
      LayerDrop<>(LayerDropOptions(1.0), {{"a", Identity()}})->forward(x)));

  KeepsOutput keeps;
  const auto same = [&](const torch::Tensor& result) {
    return result.is_same(keeps->kept);
  };
  CHECK(same(GatedBranch(keeps)->forward(x)));
  CHECK(same(ChoiceBlock<>({{"a", keeps}})->forward(x)));
  ConcatGate<> one(ConcatGateOptions(1), {{"a", keeps}});
  CHECK(same(one->forward(x)));
  CHECK(same(one->forward_slots(x).at(0)));
  CHECK(same(LayerDrop<>(LayerDropOptions(0.0), {{"a", keeps}})->forward(x)));
}
