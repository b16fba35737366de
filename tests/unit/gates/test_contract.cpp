// SPDX-License-Identifier: MIT
// The contract of a closed branch, cell by cell, for every kind of gate: what
// runs, and what comes out. Its other topics are in test_contract_*.cpp.
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>

#include <c10/core/GradMode.h>

#include <limits>

#include "support/catch.hpp"
#include "support/contract.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"
#include "support/wrappers.hpp"

using gatedpaths::ClosedValue;
using gatedpaths::Skip;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::all_defined;
using gatedpaths::test::bare_child;
using gatedpaths::test::bit_equal;
using gatedpaths::test::Closed;
using gatedpaths::test::contract_input;
using gatedpaths::test::contract_kinds;
using gatedpaths::test::contract_skips;
using gatedpaths::test::contract_wrapper;
using gatedpaths::test::ContractNet;
using gatedpaths::test::copies_of;
using gatedpaths::test::gradients_of;
using gatedpaths::test::kContractSamples;
using gatedpaths::test::Kind;
using gatedpaths::test::none_defined;
using gatedpaths::test::random_stream;
using gatedpaths::test::reaches;
using gatedpaths::test::Tensors;

TEST_CASE(
    "Contract: an open branch is its bare child, bit for bit",
    "[contract][forward][backward]") {
  const auto kind = GENERATE(contract_kinds());
  const auto skip = GENERATE(contract_skips());
  const bool training = GENERATE(true, false);
  CAPTURE(kind, skip, training);

  auto wrapper = contract_wrapper(kind, {.skip = skip}, training);
  const auto bare = bare_child(wrapper);
  const auto input = contract_input().requires_grad_();
  const auto bare_input = input.detach().clone().requires_grad_();
  const auto gradient = torch::randn({kContractSamples, 4, 6, 6});

  torch::manual_seed(5);
  const auto expected = bare->forward(bare_input);
  expected.backward(gradient);
  const auto expected_stream = random_stream();

  torch::manual_seed(5);
  const auto output = wrapper.forward(input);
  const auto part = wrapper.part_of_child(output);
  CHECK(wrapper.child->keeps_activation());
  part.backward(gradient);

  CHECK(wrapper.child->log.size() == 1);
  CHECK(wrapper.child->log.last().grad_mode);
  CHECK(wrapper.child->log.last().training == training);
  CHECK(bit_equal(random_stream(), expected_stream));
  CHECK(bit_equal(part, expected));
  CHECK(bit_equal(input.grad(), bare_input.grad()));
  CHECK(all_defined(gradients_of(*wrapper.child)));
  CHECK(all_bit_equal(gradients_of(*wrapper.child), gradients_of(*bare)));
  CHECK(all_bit_equal(wrapper.child->buffers(), bare->buffers()));
  CHECK(none_defined(gradients_of(*wrapper.sibling)));
}

TEST_CASE(
    "Contract: all branches open are as written by hand, bit for bit",
    "[contract][forward][backward]") {
  const auto kind =
      GENERATE(Kind::kChoiceBlock, Kind::kConcatGate, Kind::kConcatSlots);
  const auto skip = GENERATE(contract_skips());
  const bool training = GENERATE(true, false);
  CAPTURE(kind, skip, training);

  auto wrapper = contract_wrapper(kind, {.skip = skip}, training);
  wrapper.gate().set_open({0, 1});
  auto by_hand = contract_wrapper(kind, {.skip = skip}, training);
  const auto input = contract_input().requires_grad_();
  const auto same_input = input.detach().clone().requires_grad_();

  torch::manual_seed(5);
  const auto a = by_hand.sibling->forward(same_input);
  const auto b = by_hand.child->forward(same_input);
  const auto expected =
      kind == Kind::kChoiceBlock ? a + b : torch::cat({a, b}, 1);
  torch::manual_seed(5);
  const auto output = wrapper.forward(input);
  CHECK(bit_equal(output, expected));

  const auto gradient = torch::randn_like(output);
  output.backward(gradient);
  expected.backward(gradient);
  CHECK(bit_equal(input.grad(), same_input.grad()));
  CHECK(all_bit_equal(
      gradients_of(*wrapper.module), gradients_of(*by_hand.module)));
  CHECK(all_bit_equal(wrapper.module->buffers(), by_hand.module->buffers()));
}

TEST_CASE(
    "Contract: a closed branch is never called under zero-fill",
    "[contract][forward]") {
  const auto kind = GENERATE(contract_kinds());
  const bool training = GENERATE(true, false);
  CAPTURE(kind, training);
  const auto input = contract_input();

  SECTION("with a declared shape") {
    auto wrapper = contract_wrapper(kind, {.shape = {4, 6, 6}}, training);
    wrapper.set_open(false);
    wrapper.forward(input);
    wrapper.forward(contract_input(2));
    wrapper.close_all();
    wrapper.forward(input);
    CHECK(wrapper.child->log.size() == 0);
  }
  SECTION("after it was open once") {
    auto wrapper = contract_wrapper(kind, {}, training);
    wrapper.forward(input);
    CHECK(wrapper.child->log.size() == 1);
    wrapper.set_open(false);
    wrapper.forward(input);
    CHECK(wrapper.child->log.size() == 1);
    // One batch size does not tell how sizes follow it; none is the other.
    for (const int64_t samples : {2, 3, 2}) {
      wrapper.forward(contract_input(samples));
      CHECK(wrapper.child->log.size() == 1 + wrapper.probes() / 2);
      CHECK(wrapper.child->log.with(0) == wrapper.probes() / 2);
    }
  }
  SECTION("otherwise but for two small probes, where zeros are needed") {
    auto wrapper = contract_wrapper(kind, {}, training);
    wrapper.set_open(false);
    for (const int64_t samples :
         {kContractSamples, kContractSamples, int64_t{2}}) {
      wrapper.forward(contract_input(samples));
      CHECK(wrapper.child->log.size() == wrapper.probes());
      CHECK(wrapper.child->log.with(0) == wrapper.probes() / 2);
      CHECK(wrapper.child->log.with(4) == wrapper.probes() / 2);
    }
  }
}

TEST_CASE(
    "Contract: a closed branch is called once, without a graph, under no_grad",
    "[contract][forward]") {
  const auto kind = GENERATE(contract_kinds());
  const bool training = GENERATE(true, false);
  CAPTURE(kind, training);

  auto wrapper = contract_wrapper(kind, {.skip = Skip::kNoGrad}, training);
  wrapper.set_open(false);
  for (const int64_t calls : {1, 2, 3}) {
    wrapper.forward(contract_input());
    CHECK(wrapper.child->log.size() == calls);
    CHECK(wrapper.child->log.with(kContractSamples) == calls);
    CHECK_FALSE(wrapper.child->log.last().grad_mode);
    CHECK(wrapper.child->log.last().training == training);
    CHECK(c10::GradMode::is_enabled());
  }
}

TEST_CASE(
    "Contract: a closed branch gives its detached value where asked",
    "[contract][forward]") {
  const auto kind = GENERATE(contract_kinds());
  const bool training = GENERATE(true, false);
  CAPTURE(kind, training);

  auto wrapper = contract_wrapper(
      kind, {.skip = Skip::kNoGrad, .value = ClosedValue::kDetached}, training);
  wrapper.set_open(false);
  const auto bare = bare_child(wrapper);
  const auto input = contract_input();
  torch::manual_seed(5);
  const auto value = bare->forward(input).detach();
  const auto buffers = copies_of(wrapper.child->buffers());

  torch::manual_seed(5);
  const auto stream = random_stream();
  const auto output = wrapper.forward(input);
  CHECK(bit_equal(random_stream(), stream));
  CHECK(all_bit_equal(wrapper.child->buffers(), buffers));
  CHECK_FALSE(reaches(output, *wrapper.child));
  if (kind == Kind::kGatedBranch) {
    CHECK(bit_equal(output, value));
    CHECK_FALSE(output.requires_grad());
    return;
  }
  const auto sibling = wrapper.sibling->forward(input);
  CHECK(bit_equal(
      output,
      kind == Kind::kChoiceBlock ? sibling + value
                                 : torch::cat({sibling, value}, 1)));
  output.sum().backward();
  CHECK(none_defined(gradients_of(*wrapper.child)));
  CHECK(all_defined(gradients_of(*wrapper.sibling)));
}

TEST_CASE(
    "Contract: both skips train a net to the same bits",
    "[contract][backward]") {
  const auto kind = GENERATE(contract_kinds());
  const bool training = GENERATE(true, false);
  CAPTURE(kind, training);

  const auto train = [&](Skip skip) {
    ContractNet net(kind, Closed{.skip = skip});
    net->train(training);
    torch::optim::SGD optimizer(
        net->parameters(),
        torch::optim::SGDOptions(0.05).momentum(0.9).weight_decay(0.01));
    const auto input = contract_input();
    torch::manual_seed(4);
    Tensors seen;
    for (const bool open : {false, true, false, false, true, false}) {
      net->gate.set_open(open);
      optimizer.zero_grad();
      const auto logits = net->forward(input);
      logits.square().mean().backward();
      seen.push_back(logits);
      for (const auto& gradient : copies_of(gradients_of(*net))) {
        seen.push_back(gradient);
      }
      optimizer.step();
      for (const auto& parameter : copies_of(net->parameters())) {
        seen.push_back(parameter);
      }
      for (const auto& buffer : copies_of(net->buffers())) {
        seen.push_back(buffer);
      }
      seen.push_back(random_stream());
    }
    return seen;
  };
  const auto zero_fill = train(Skip::kZeroFill);
  const auto no_grad = train(Skip::kNoGrad);
  REQUIRE(zero_fill.size() == no_grad.size());
  for (size_t i = 0; i < zero_fill.size(); ++i) {
    CAPTURE(i);
    CHECK(bit_equal(zero_fill[i], no_grad[i]));
  }
}

TEST_CASE(
    "Contract: inf and NaN in a closed branch reach nothing",
    "[contract][forward][backward]") {
  const auto kind = GENERATE(contract_kinds());
  const auto skip = GENERATE(contract_skips());
  const double poison = GENERATE(
      std::numeric_limits<double>::infinity(),
      std::numeric_limits<double>::quiet_NaN());
  CAPTURE(kind, skip, poison);

  ContractNet net(kind, Closed{.skip = skip});
  {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : net->gate.child->parameters()) {
      parameter.fill_(poison);
    }
  }
  net->gate.set_open(false);
  const auto logits = net->forward(contract_input());
  CHECK(torch::isfinite(logits).all().item<bool>());
  logits.square().mean().backward();
  for (const auto& gradient : gradients_of(*net)) {
    CHECK(
        (!gradient.defined() || torch::isfinite(gradient).all().item<bool>()));
  }
  CHECK(all_defined(gradients_of(*net->head)));
  CHECK(none_defined(gradients_of(*net->gate.child)));
  CHECK(
      torch::isfinite(net->gate.child->norm->running_mean).all().item<bool>());
}
