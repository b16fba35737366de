// SPDX-License-Identifier: MIT
// The contract of a closed branch: children of many kinds.
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>

#include <functional>
#include <memory>
#include <vector>

#include "support/catch.hpp"
#include "support/contract.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::ChoiceBlockOptions;
using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::GatedBranch;
using gatedpaths::GatedBranchOptions;
using gatedpaths::test::all_zero;
using gatedpaths::test::contract_conv;
using gatedpaths::test::contract_input;
using gatedpaths::test::contract_skips;
using gatedpaths::test::copies_of;
using gatedpaths::test::gradients_of;
using gatedpaths::test::kContractSamples;

namespace {

// A gate of any kind.
struct Runnable {
  gatedpaths::GatedModule& gate() const {
    return dynamic_cast<gatedpaths::GatedModule&>(*module);
  }

  std::shared_ptr<torch::nn::Module> module;
  std::function<torch::Tensor(const torch::Tensor&)> forward;
};

template <class Gate>
Runnable runnable(Gate gate) {
  return {gate.ptr(), [gate](const torch::Tensor& x) mutable {
            return gate->forward(x);
          }};
}

}  // namespace

TEST_CASE(
    "Contract: a child that two branches share is one child",
    "[contract][backward]") {
  const auto skip = GENERATE(contract_skips());
  const bool concat = GENERATE(true, false);
  CAPTURE(skip, concat);
  torch::manual_seed(1);
  auto shared = contract_conv();
  const auto both = concat ? runnable(ConcatGate(
                                 ConcatGateOptions(1).skip(skip),
                                 {{"a", shared}, {"b", shared}}))
                           : runnable(ChoiceBlock(
                                 ChoiceBlockOptions().skip(skip).max_open(2),
                                 {{"a", shared}, {"b", shared}}));
  const auto& module = both.module;
  auto& gate = both.gate();
  CHECK(module->parameters().size() == 2);
  CHECK(module->named_parameters().contains("a.weight"));
  CHECK_FALSE(module->named_parameters().contains("b.weight"));
  CHECK(&gate.branch_module(1) == shared.get());

  const auto input = contract_input();
  torch::optim::SGD optimizer(module->parameters(), 0.1);
  for (const std::vector<int64_t>& open :
       std::vector<std::vector<int64_t>>{{0}, {1}, {0, 1}}) {
    CAPTURE(open);
    gate.set_open(open);
    optimizer.zero_grad();
    const auto before = copies_of(shared->parameters());
    both.forward(input).sum().backward();
    const auto gradients = copies_of(gradients_of(*shared));
    optimizer.step();
    const auto after = copies_of(shared->parameters());
    for (size_t i = 0; i < after.size(); ++i) {
      CHECK(torch::allclose(after[i], before[i] - 0.1 * gradients[i]));
    }
    // Two open branches see the same input, so their gradients add up.
    auto alone =
        std::dynamic_pointer_cast<torch::nn::Conv2dImpl>(shared->clone());
    alone->forward(input).sum().backward();
    CHECK(torch::allclose(
        gradients[0],
        static_cast<double>(open.size()) * alone->weight.grad(),
        1e-4,
        1e-3));
  }
}

TEST_CASE(
    "Contract: sequential children work behind every gate",
    "[contract][forward]") {
  const auto skip = GENERATE(contract_skips());
  CAPTURE(skip);
  const auto path = [] {
    return torch::nn::Sequential(
        contract_conv(),
        torch::nn::BatchNorm2d(4),
        torch::nn::ReLU(torch::nn::ReLUOptions(true)),
        torch::nn::MaxPool2d(2));
  };
  const auto input = contract_input();
  ConcatGate gate(
      ConcatGateOptions(1).skip(skip), {{"a", path()}, {"b", path()}});
  gate->set_open({0});
  const auto output = gate->forward(input);
  CHECK(output.sizes() == c10::IntArrayRef({kContractSamples, 8, 3, 3}));
  CHECK(all_zero(output.narrow(1, 4, 4)));
  GatedBranch branch(path(), GatedBranchOptions().skip(skip));
  branch->set_open(false);
  CHECK(all_zero(branch->forward(input)));
  CHECK(
      branch->forward(input).sizes() ==
      c10::IntArrayRef({kContractSamples, 4, 3, 3}));
}

TEST_CASE(
    "Contract: gates in a Sequential are given back typed", "[contract]") {
  torch::nn::Sequential net(
      ChoiceBlock(contract_conv(), contract_conv()),
      ConcatGate(ConcatGateOptions(1), contract_conv(4), contract_conv(4)));
  using Conv = torch::nn::Conv2d;
  net->at<ChoiceBlock<Conv>::Impl>(0).select(1);
  net->at<ConcatGate<Conv>::Impl>(1).set_open({0});
  const auto output = net->forward(contract_input());
  CHECK(output.sizes() == c10::IntArrayRef({kContractSamples, 8, 6, 6}));
  CHECK(all_zero(output.narrow(1, 4, 4)));
  CHECK(net->ptr<ChoiceBlock<Conv>::Impl>(0)->is_open(1));
  torch::nn::AnyModule any(ChoiceBlock(contract_conv(), contract_conv()));
  any.get<ChoiceBlock<Conv>>()->select(1);
  CHECK(any.get<ChoiceBlock<Conv>::Impl>().is_open(1));
}

TEST_CASE(
    "Contract: gates inside a closed branch draw nothing",
    "[contract][random]") {
  const auto skip = GENERATE(contract_skips());
  const bool in_concat = GENERATE(true, false);
  CAPTURE(skip, in_concat);
  ChoiceBlock inner(contract_conv(), contract_conv());
  inner->draw_each_forward(7);
  const auto input = contract_input();
  inner->forward(input);
  inner->forward(input);
  const auto state = inner->draw_state();
  const auto open = inner->open_branches().vec();
  REQUIRE(state->step == 2);

  const auto outer =
      in_concat ? runnable(ConcatGate(
                      ConcatGateOptions(1).skip(skip),
                      {{"a", inner}, {"b", contract_conv()}}))
                : runnable(GatedBranch(inner, GatedBranchOptions().skip(skip)));
  outer.gate().set_open(
      in_concat ? std::vector<int64_t>{1} : std::vector<int64_t>{});
  for (int i = 0; i < 8; ++i) {
    outer.forward(contract_input(kContractSamples, 6 + i));
    CHECK(inner->draw_state() == state);
    CHECK(inner->open_branches() == open);
  }
}
