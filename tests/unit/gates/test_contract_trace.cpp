// SPDX-License-Identifier: MIT
// The contract of a closed branch: what it leaves as it was.
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/DistributionsHelper.h>
#include <c10/core/GradMode.h>

#include "support/catch.hpp"
#include "support/contract.hpp"
#include "support/counting_child.hpp"
#include "support/errors.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"
#include "support/wrappers.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using gatedpaths::ClosedValue;
using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::GatedBranch;
using gatedpaths::GatedBranchOptions;
using gatedpaths::Skip;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::all_defined;
using gatedpaths::test::all_zero;
using gatedpaths::test::bare_child;
using gatedpaths::test::bit_equal;
using gatedpaths::test::contract_conv;
using gatedpaths::test::contract_input;
using gatedpaths::test::contract_kinds;
using gatedpaths::test::contract_skips;
using gatedpaths::test::contract_wrapper;
using gatedpaths::test::copies_of;
using gatedpaths::test::FunctionChild;
using gatedpaths::test::gradients_of;
using gatedpaths::test::Kind;
using gatedpaths::test::message_of;
using gatedpaths::test::none_defined;
using gatedpaths::test::random_stream;
using gatedpaths::test::reaches;

TEST_CASE("Contract: a closed branch leaves no trace", "[contract][forward]") {
  const auto kind = GENERATE(contract_kinds());
  const auto skip = GENERATE(contract_skips());
  const bool training = GENERATE(true, false);
  CAPTURE(kind, skip, training);

  auto wrapper = contract_wrapper(kind, {.skip = skip}, training);
  wrapper.set_open(false);
  const auto input = contract_input().requires_grad_();
  const auto scale = torch::ones({1}, torch::requires_grad());
  torch::randn({1});  // leaves a second normal number behind
  const auto stream = random_stream();
  const auto buffers = copies_of(wrapper.child->buffers());
  const auto parameters = copies_of(wrapper.child->parameters());
  REQUIRE(buffers.size() == 3);  // mean, variance, number of batches

  const auto output = wrapper.forward(input);
  CHECK(bit_equal(random_stream(), stream));
  CHECK(all_bit_equal(wrapper.child->buffers(), buffers));
  CHECK_FALSE(wrapper.child->keeps_activation());
  CHECK_FALSE(reaches(output, *wrapper.child));
  (output * scale).sum().backward();
  CHECK(none_defined(gradients_of(*wrapper.child)));
  CHECK(scale.grad().defined());

  switch (kind) {
    case Kind::kGatedBranch:
      CHECK_FALSE(output.requires_grad());
      CHECK(all_zero(output));
      break;
    case Kind::kConcatGate:
      CHECK(all_zero(output.narrow(1, 4, 4)));
      CHECK(bit_equal(output.narrow(1, 0, 4), wrapper.sibling->forward(input)));
      break;
    case Kind::kChoiceBlock:
    case Kind::kConcatSlots:
      CHECK(bit_equal(output, wrapper.sibling->forward(input)));
      break;
  }
  CHECK(all_bit_equal(wrapper.child->parameters(), parameters));
  CHECK(wrapper.child->is_training() == training);
  CHECK(wrapper.child->norm->is_training() == training);
}

TEST_CASE(
    "Contract: a closed branch leaves a waiting normal number behind",
    "[contract][random]") {
  const auto skip = GENERATE(contract_skips());
  const bool in_double = GENERATE(true, false);
  CAPTURE(skip, in_double);
  // A single number is drawn as one of two, and the generator keeps the second
  // one for the next draw.
  const auto draw_one = [in_double] {
    torch::randn({1}, in_double ? torch::kDouble : torch::kFloat);
  };
  FunctionChild child([&](const torch::Tensor& x) {
    draw_one();
    return x * 2;
  });
  GatedBranch branch(child, GatedBranchOptions().skip(skip));
  branch->set_open(false);
  torch::manual_seed(5);
  for (const bool waits : {false, true}) {
    CAPTURE(waits);
    if (waits) {
      draw_one();
    }
    const auto stream = random_stream();
    branch->forward(torch::ones({2, waits ? 3 : 4}));
    const int64_t calls = skip == Skip::kZeroFill ? 2 : 1;  // two are probes
    CHECK(child->log.size() == (waits ? 2 * calls : calls));
    CHECK(bit_equal(random_stream(), stream));
  }
}

TEST_CASE(
    "Contract: a closed branch that throws leaves no trace either",
    "[contract][forward][error]") {
  const auto kind = GENERATE(contract_kinds());
  const auto skip = GENERATE(contract_skips());
  const bool training = GENERATE(true, false);
  CAPTURE(kind, skip, training);

  auto wrapper = contract_wrapper(kind, {.skip = skip}, training);
  wrapper.child->drop->eval();
  wrapper.set_open(false);
  wrapper.child->throws = true;
  const auto stream = random_stream();
  const auto buffers = copies_of(wrapper.child->buffers());
  const auto input = contract_input();
  torch::manual_seed(2);
  const auto before = random_stream();

  if (skip == Skip::kNoGrad) {
    CHECK_THAT(
        message_of<c10::Error>([&] { wrapper.forward(input); }),
        StartsWith("CountingChild: told to throw"));
    CHECK(wrapper.child->log.size() == 1);
  } else if (wrapper.probes() > 0) {
    CHECK_THAT(
        message_of<c10::Error>([&] { wrapper.forward(input); }),
        ContainsSubstring("every probe failed") &&
            ContainsSubstring("CountingChild: told to throw"));
  }
  CHECK(bit_equal(random_stream(), before));
  CHECK(all_bit_equal(wrapper.child->buffers(), buffers));
  CHECK(none_defined(gradients_of(*wrapper.child)));
  CHECK(c10::GradMode::is_enabled());
  CHECK(at::autocast::is_autocast_cache_enabled());
  CHECK(wrapper.child->is_training() == training);
  CHECK(wrapper.child->norm->is_training() == training);
  CHECK_FALSE(wrapper.child->drop->is_training());

  wrapper.child->throws = false;
  const auto output = wrapper.forward(input);
  CHECK(output.defined());
  CHECK(bit_equal(random_stream(), before));
}

TEST_CASE(
    "Contract: statistics are tracked where that is asked for",
    "[contract][forward]") {
  const auto kind = GENERATE(contract_kinds());
  const bool training = GENERATE(true, false);
  CAPTURE(kind, training);

  auto wrapper = contract_wrapper(
      kind, {.skip = Skip::kNoGrad, .track_statistics = true}, training);
  wrapper.set_open(false);
  const auto before = copies_of(wrapper.child->buffers());
  const auto bare = bare_child(wrapper);
  const auto input = contract_input();
  bare->forward(input);

  const auto stream = random_stream();
  wrapper.forward(input);
  CHECK(all_bit_equal(wrapper.child->buffers(), bare->buffers()));
  CHECK(all_bit_equal(wrapper.child->buffers(), before) == !training);
  CHECK(bit_equal(random_stream(), stream));
  CHECK(none_defined(gradients_of(*wrapper.child)));
}

TEST_CASE(
    "Contract: a shared child's open statistics survive its closed run",
    "[contract][forward]") {
  const auto skip = GENERATE(contract_skips());
  const int64_t open = GENERATE(0, 1);
  CAPTURE(skip, open);
  torch::manual_seed(1);
  torch::nn::BatchNorm2d shared(3);
  torch::nn::BatchNorm2d bare(3);
  ConcatGate gate(
      ConcatGateOptions(1).skip(skip), {{"a", shared}, {"b", shared}});
  gate->set_open({open});
  const auto input = contract_input();
  const auto output = gate->forward(input);
  bare->forward(input);
  CHECK(all_bit_equal(shared->buffers(), bare->buffers()));
  output.square().sum().backward();  // the graph's saved buffers are intact
  CHECK(all_defined(gradients_of(*shared)));
}

TEST_CASE(
    "Contract: in eval mode a graph through an open batch norm survives its "
    "own closed run",
    "[contract][backward]") {
  // In eval mode the graph keeps the buffers themselves.
  torch::nn::BatchNorm2d norm(3);
  norm->eval();
  GatedBranch branch(norm, GatedBranchOptions().skip(Skip::kNoGrad));
  const auto input = contract_input();
  const auto output = branch->forward(input);
  branch->set_open(false);
  norm->train();
  branch->forward(input);
  output.square().sum().backward();
  CHECK(all_defined(gradients_of(*norm)));
}

TEST_CASE(
    "Contract: a closed branch that works in place never changes the input "
    "unseen",
    "[contract][forward][error]") {
  const auto input = contract_input();
  const auto kept = input.clone();
  const torch::nn::ReLU relu(torch::nn::ReLUOptions(true));

  SECTION("zero-fill does not run it") {
    ConcatGate gate(
        ConcatGateOptions(1), {{"a", contract_conv(3, 3)}, {"b", relu}});
    gate->set_open({0});
    gate->forward(input);
    GatedBranch branch(relu);
    branch->set_open(false);
    CHECK(all_zero(branch->forward(input)));
    CHECK(bit_equal(input, kept));
  }
  SECTION("no_grad says so") {
    const auto value = GENERATE(ClosedValue::kZeros, ClosedValue::kDetached);
    CAPTURE(value);
    ConcatGate gate(
        ConcatGateOptions(1).skip(Skip::kNoGrad).closed_value(value),
        {{"a", contract_conv(3, 3)}, {"b", relu}});
    gate->set_open({0});
    CHECK(
        message_of<c10::ValueError>([&] { gate->forward(input.clone()); }) ==
        "ConcatGate::forward: expected branch 1 ('b') to leave its input as it "
        "is while it is closed, got one that is changed in place; use "
        "Skip::kZeroFill, or layers that do not work in place");
    GatedBranch branch(
        relu, GatedBranchOptions().skip(Skip::kNoGrad).closed_value(value));
    branch->forward(input.clone());
    branch->set_open(false);
    CHECK_THAT(
        message_of<c10::ValueError>([&] { branch->forward(input.clone()); }),
        StartsWith(
            "GatedBranch::forward: expected branch 0 ('branch') to leave its "
            "input as it is while it is closed"));
    // In place on what it made itself is its own business.
    GatedBranch path(
        torch::nn::Sequential(contract_conv(), relu),
        GatedBranchOptions().skip(Skip::kNoGrad));
    path->set_open(false);
    CHECK(all_zero(path->forward(input)));
    const torch::InferenceMode inference;  // where tensors have no version
    CHECK(all_zero(path->forward(input * 1)));
  }
}

TEST_CASE("Contract: gates work in inference mode too", "[contract][forward]") {
  const auto kind = GENERATE(contract_kinds());
  const auto skip = GENERATE(contract_skips());
  const bool training = GENERATE(true, false);
  CAPTURE(kind, skip, training);
  auto wrapper = contract_wrapper(kind, {.skip = skip}, training);
  const auto buffers = copies_of(wrapper.child->buffers());
  wrapper.set_open(false);
  const auto input = contract_input();
  {
    const torch::InferenceMode inference;
    CHECK(wrapper.forward(input).defined());
    CHECK(wrapper.forward(input * 1).defined());
  }
  CHECK(all_bit_equal(wrapper.child->buffers(), buffers));
  CHECK_FALSE(wrapper.child->norm->running_mean.is_inference());
  // The same module trains afterwards.
  wrapper.set_open(true);
  wrapper.forward(input).sum().backward();
  CHECK(all_defined(gradients_of(*wrapper.child)));
}
