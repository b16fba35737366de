// SPDX-License-Identifier: MIT
// What a decision does with the branch that it is for.
#include <gatedpaths/gates/gate_head.hpp>

#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/gated_branch.hpp>

#include <torch/nn/module.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/counting_child.hpp"
#include "support/errors.hpp"
#include "support/sample_gates.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::DrawState;
using gatedpaths::GatedBranch;
using gatedpaths::GatedBranchOptions;
using gatedpaths::GateDecision;
using gatedpaths::GateHead;
using gatedpaths::GateHeadOptions;
using gatedpaths::Overflow;
using gatedpaths::test::all_zero;
using gatedpaths::test::bit_equal;
using gatedpaths::test::FunctionChild;
using gatedpaths::test::gradients_of;
using gatedpaths::test::largest_difference;
using gatedpaths::test::mask_of;
using gatedpaths::test::message_of;
using torch::nn::Identity;
using torch::nn::Linear;

namespace {

using Samples = std::vector<int64_t>;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// A decision as if it had fallen so: "1" and "0" for each sample.
GateDecision decided(const std::vector<std::string>& open, bool training) {
  GateDecision decision;
  decision.open = mask_of(open, true);
  decision.weight = decision.open.to(torch::kFloat).requires_grad_();
  decision.training = training;
  return decision;
}

// Its second tensor is the child's own.
struct MaskedChildImpl : torch::nn::Module {
  torch::Tensor forward(
      const torch::Tensor& x, const torch::Tensor& mask = {}) {
    masks.push_back(mask);
    return mask.defined() ? x * mask : x;
  }
  std::vector<torch::Tensor> masks;
};
TORCH_MODULE(MaskedChild);

bool all_finite(const std::vector<torch::Tensor>& tensors) {
  return std::all_of(tensors.begin(), tensors.end(), [](const auto& tensor) {
    return tensor.defined() && tensor.isfinite().all().template item<bool>();
  });
}

}  // namespace

TEST_CASE(
    "GateDecision: a child's second tensor is the child's own",
    "[gate_head][forward]") {
  torch::manual_seed(1);
  const bool training = GENERATE(true, false);
  GatedBranch branch(
      MaskedChild(), GatedBranchOptions().sample_arguments({0, 1}));
  const auto x = torch::randn({3, 2});
  const auto mask = torch::randn({3, 1});
  const auto decision = decided({"1", "0", "1"}, training);
  auto output = decision.run(branch, x);
  CHECK_FALSE(branch->child()->masks.back().defined());
  CHECK(bit_equal(output[0], x[0]));
  CHECK(all_zero(output[1]));
  CHECK(branch->ran_samples() == (training ? Samples{0, 1, 2} : Samples{0, 2}));

  output = decision.run(branch, x, mask);
  CHECK(branch->child()->masks.back().size(0) == (training ? 3 : 2));
  CHECK(bit_equal(output[2], x[2] * mask[2]));
  CHECK(all_zero(output[1]));
}

TEST_CASE(
    "GateDecision: decides on the outer of two gates", "[gate_head][forward]") {
  torch::manual_seed(2);
  const bool training = GENERATE(true, false);
  const auto x = torch::randn({3, 4});
  const auto decision = decided({"1", "0", "1"}, training);
  ChoiceBlock block(Linear(4, 2), Linear(4, 2));
  block->select(1);
  GatedBranch around(block);
  auto output = decision.run(around, x);
  CHECK(all_zero(output[1]));
  CHECK(largest_difference(output[0], block->branch(1)->forward(x)[0]) < 1e-6);

  GatedBranch inner(Linear(4, 2));
  GatedBranch outer(inner);
  output = decision.run(outer, x);
  CHECK(all_zero(output[1]));
  CHECK(outer->ran_samples() == (training ? Samples{0, 1, 2} : Samples{0, 2}));
}

TEST_CASE(
    "GateDecision: a capacity counts open samples in training too",
    "[gate_head][sample_capacity][forward][backward]") {
  torch::manual_seed(3);
  const auto x = torch::randn({5, 3}).requires_grad_();
  SECTION("and refuses more") {
    GatedBranch branch(Identity(), GatedBranchOptions().capacity(2));
    const auto output = decided({"1", "0", "0", "1", "0"}, true).run(branch, x);
    CHECK(bit_equal(output[3], x[3]));
    CHECK(branch->ran_samples() == Samples{0, 1, 2, 3, 4});
    CHECK(
        message_of<c10::ValueError>(
            [&] { decided({"1", "1", "0", "1", "0"}, true).run(branch, x); }) ==
        "GatedBranch::forward: expected at most 2 samples, the capacity, for "
        "branch 0 ('branch'), got 3");
  }
  SECTION("and drops no open sample for a closed one") {
    GatedBranch branch(
        Identity(), GatedBranchOptions().capacity(2).overflow(Overflow::kDrop));
    for (int i = 0; i < 20; ++i) {
      const auto output =
          decided({"1", "0", "0", "1", "0"}, true).run(branch, x);
      CHECK(bit_equal(output[0], x[0]));
      CHECK(bit_equal(output[3], x[3]));
      CHECK(all_zero(output[1]));
    }
    CHECK(branch->capacity_state()->step == 20);
  }
}

TEST_CASE(
    "GateDecision: what a capacity drops is as in eval, but drawn",
    "[gate_head][sample_capacity][forward][backward][random]") {
  torch::manual_seed(4);
  GatedBranch branch(
      Linear(3, 2), GatedBranchOptions().capacity(2).overflow(Overflow::kDrop));
  const auto x = torch::randn({5, 3}).requires_grad_();
  const std::vector<std::string> open = {"1", "0", "1", "1", "0"};
  std::set<Samples> seen;
  for (int i = 0; i < 60; ++i) {
    branch->zero_grad();
    const auto before = *branch->capacity_state();
    const auto decision = decided(open, true);
    const auto output = decision.run(branch, x);
    const auto whole = branch->child()->forward(x).detach();
    Samples kept;
    for (int64_t n = 0; n < 5; ++n) {
      if (!all_zero(output[n])) {
        kept.push_back(n);
        CHECK(bit_equal(output[n], whole[n]));
      }
    }
    REQUIRE(kept.size() == 2);
    seen.insert(kept);
    // The same sets as in a forward with these gates.
    branch->set_capacity_state(before);
    branch->forward(x, decision.open);
    CHECK(branch->ran_samples() == kept);

    output.sum().backward();
    const auto grad = decision.weight.grad();
    for (int64_t n = 0; n < 5; ++n) {
      const bool learns = open[static_cast<size_t>(n)] == "0" ||
                          std::find(kept.begin(), kept.end(), n) != kept.end();
      CHECK(
          std::abs(
              grad[n].item<float>() -
              (learns ? whole[n].sum().item<float>() : 0)) < 1e-5);
    }
    CHECK(
        largest_difference(
            branch->child()->bias.grad(), torch::full({2}, 2.0F)) < 1e-6);
    CHECK(bit_equal(decision.weight.detach(), decision.open.to(at::kFloat)));
  }
  CHECK(seen == std::set<Samples>{{0, 2}, {0, 3}, {2, 3}});

  const auto in_eval = decided(open, false);
  branch->eval();
  in_eval.run(branch, x);
  CHECK(branch->ran_samples() == Samples{0, 2});
}

TEST_CASE(
    "GateDecision: an empty batch has a backward",
    "[gate_head][forward][backward]") {
  torch::manual_seed(5);
  const bool training = GENERATE(true, false);
  const auto sizes = GENERATE(
      std::vector<int64_t>{0, 3},
      std::vector<int64_t>{0, 3, 2, 2},
      std::vector<int64_t>{0, 3, 0});
  GateHead head(GateHeadOptions(3));
  head->train(training);
  const auto x = torch::randn(sizes).requires_grad_();
  const auto decision = head->forward(x);
  CHECK(decision.open.sizes() == torch::IntArrayRef({0}));
  for (const auto& child :
       {FunctionChild([](const auto& input) { return input * 2; })}) {
    GatedBranch branch(child);
    const auto y = x + decision.run(branch, x);
    CHECK(y.sizes() == x.sizes());
    (y.sum() + decision.weight.sum()).backward();
  }
  CHECK(x.grad().sizes() == x.sizes());
  if (training) {
    for (const auto& gradient : gradients_of(*head)) {
      CHECK(all_zero(gradient));
    }
  }
}

TEST_CASE(
    "GateDecision: outputs of any sizes have a backward",
    "[gate_head][backward]") {
  torch::manual_seed(6);
  const auto x = torch::randn({3, 4});
  const auto run = [&](const FunctionChild& child) {
    const auto decision = decided({"1", "0", "1"}, true);
    GatedBranch branch(child);
    (decision.run(branch, x).sum() + decision.weight.sum() * 0).backward();
    return decision.weight.grad();
  };
  const auto of_numbers = run(
      FunctionChild([](const torch::Tensor& input) { return input.sum(1); }));
  CHECK(largest_difference(of_numbers, x.sum(1)) < 1e-6);
  CHECK(all_zero(run(FunctionChild([](const torch::Tensor& input) {
    return input.narrow(1, 0, 0);  // rows without numbers
  }))));
}

TEST_CASE(
    "GateDecision: what is not finite in a closed row teaches nothing",
    "[gate_head][backward]") {
  torch::manual_seed(7);
  const float bad = GENERATE(kInfinity, -kInfinity, kNan);
  const auto scale = torch::ones({3, 2});
  scale[1][0] = bad;
  GateHead head(GateHeadOptions(2).seed(3));
  const auto x = torch::randn({3, 2});
  auto decision = head->forward(x);
  decision.open = mask_of({"1", "0", "1"}, true);
  GatedBranch branch{
      FunctionChild([&](const torch::Tensor& input) { return input * scale; })};
  SECTION("of the branch") {
    const auto output = decision.run(branch, x);
    const auto of_weight = torch::autograd::grad(
        {output.sum()}, {decision.weight}, {}, /*retain_graph=*/true)[0];
    CHECK(of_weight[1].item<float>() == 0);
    CHECK(bit_equal(of_weight[0], x[0].sum()));
    output.sum().backward();
    CHECK(all_finite(gradients_of(*head)));
  }
  SECTION("of the gradient") {
    const auto ones = torch::ones({3, 2});
    GatedBranch identity(Identity{});
    decision.run(identity, x).backward(scale);
    CHECK(all_finite(gradients_of(*head)));
  }
  SECTION("but an open row's does") {
    decision.open = mask_of({"1", "1", "0"}, true);
    decision.run(branch, x).sum().backward();
    CHECK_FALSE(all_finite(gradients_of(*head)));
  }
}

TEST_CASE(
    "GateHead: a sample that is not finite is closed and teaches nothing",
    "[gate_head][forward][backward]") {
  torch::manual_seed(8);
  const float bad = GENERATE(kInfinity, -kInfinity, kNan);
  const bool training = GENERATE(true, false);
  const int64_t gates = GENERATE(1, 2);
  GateHead head(GateHeadOptions(3, gates).threshold(0).seed(9));
  head->train(training);
  const auto x = torch::randn({4, 3, 2});
  const auto clean = head->forward(x);
  head->set_draw_state(DrawState{9, 0});
  auto spoilt = x.clone();
  spoilt[2][1][0] = bad;
  spoilt.requires_grad_();
  const auto decision = head->forward(spoilt);
  CHECK(all_zero(decision.open[2]));
  CHECK(all_zero(decision.weight[2]));
  CHECK(all_zero(decision.probability[2]));
  for (const int64_t n : {0, 1, 3}) {
    CHECK(bit_equal(decision.open[n], clean.open[n]));
    CHECK(bit_equal(decision.probability[n], clean.probability[n]));
  }
  (decision.weight.sum() + decision.probability.sum()).backward();
  CHECK(all_finite(gradients_of(*head)));
  CHECK(all_zero(spoilt.grad()[2]));
  const auto with = gradients_of(*head);
  head->zero_grad();
  const auto rest = torch::tensor({0, 1, 3});
  (clean.weight.index_select(0, rest).sum() +
   clean.probability.index_select(0, rest).sum())
      .backward();
  const auto without = gradients_of(*head);
  for (size_t i = 0; i < with.size(); ++i) {
    CHECK(largest_difference(with[i], without[i]) < 1e-6);
  }
}
