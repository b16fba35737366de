// SPDX-License-Identifier: MIT
// The contract of a closed branch: the zeros that stand for its output.
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>

#include <ATen/autocast_mode.h>

#include <string>

#include "support/autocast.hpp"
#include "support/catch.hpp"
#include "support/contract.hpp"
#include "support/counting_child.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"
#include "support/wrappers.hpp"

using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::GatedBranch;
using gatedpaths::GatedBranchOptions;
using gatedpaths::OutputShape;
using gatedpaths::Skip;
using gatedpaths::Slots;
using gatedpaths::test::all_defined;
using gatedpaths::test::all_zero;
using gatedpaths::test::Autocast;
using gatedpaths::test::bit_equal;
using gatedpaths::test::Closed;
using gatedpaths::test::contract_conv;
using gatedpaths::test::contract_input;
using gatedpaths::test::contract_kinds;
using gatedpaths::test::contract_skips;
using gatedpaths::test::contract_wrapper;
using gatedpaths::test::ContractNet;
using gatedpaths::test::CountingChild;
using gatedpaths::test::gradients_of;
using gatedpaths::test::kContractSamples;
using gatedpaths::test::Kind;
using gatedpaths::test::none_defined;

TEST_CASE("Contract: no sample and one sample", "[contract][forward]") {
  const auto kind = GENERATE(contract_kinds());
  const auto skip = GENERATE(contract_skips());
  const bool open = GENERATE(true, false);
  const int64_t samples = GENERATE(0, 1);
  CAPTURE(kind, skip, open, samples);

  auto wrapper = contract_wrapper(kind, {.skip = skip});
  wrapper.set_open(open);
  const auto output = wrapper.forward(contract_input(samples));
  const int64_t channels = kind == Kind::kConcatGate ? 8 : 4;
  CHECK(output.sizes() == c10::IntArrayRef({samples, channels, 6, 6}));
  CHECK(output.scalar_type() == torch::kFloat);
  // And back to the usual number.
  CHECK(
      wrapper.forward(contract_input()).sizes() ==
      c10::IntArrayRef({kContractSamples, channels, 6, 6}));
}

TEST_CASE(
    "Contract: a closed batch norm may see a single value a channel",
    "[contract][forward]") {
  // In train mode the child itself throws for one sample of 1x1.
  const auto kind = GENERATE(Kind::kGatedBranch, Kind::kConcatGate);
  CAPTURE(kind);
  auto wrapper = contract_wrapper(kind, {});
  const auto input = contract_input(1, 1);
  wrapper.set_open(false);
  const auto part = wrapper.part_of_child(wrapper.forward(input));
  CHECK(part.sizes() == c10::IntArrayRef({1, 4, 1, 1}));
  CHECK(all_zero(part));
  wrapper.set_open(true);
  CHECK_THROWS_AS(wrapper.forward(input), std::exception);
}

TEST_CASE(
    "Contract: with all closed the result is zeros that depend on nothing",
    "[contract][forward][backward]") {
  const auto kind =
      GENERATE(Kind::kGatedBranch, Kind::kChoiceBlock, Kind::kConcatGate);
  const auto skip = GENERATE(contract_skips());
  const bool training = GENERATE(true, false);
  const int64_t samples = GENERATE(0, 1, kContractSamples);
  CAPTURE(kind, skip, training, samples);
  if (samples == 1 && training) {
    SUCCEED();
    return;
  }
  ContractNet net(kind, Closed{.skip = skip});
  net->train(training);
  net->gate.close_all();
  const auto input = contract_input(samples).requires_grad_();
  const auto output = net->gate.forward(input);
  CHECK(all_zero(output));
  CHECK_FALSE(output.requires_grad());
  CHECK(
      output.sizes() ==
      c10::IntArrayRef({samples, kind == Kind::kConcatGate ? 8 : 4, 6, 6}));
  CHECK_THROWS_AS(output.sum().backward(), c10::Error);

  net->forward(input).square().sum().backward();
  CHECK(all_defined(gradients_of(*net->head)));
  CHECK(none_defined(gradients_of(*net->gate.module)));
  CHECK(none_defined(gradients_of(*net->stem)));
  CHECK_FALSE(input.grad().defined());
}

TEST_CASE(
    "Contract: slots hold nothing with all closed, and are dense zeros",
    "[contract][forward]") {
  const auto skip = GENERATE(contract_skips());
  CAPTURE(skip);
  torch::manual_seed(1);
  CountingChild child;
  ConcatGate gate(
      ConcatGateOptions(1).skip(skip), {{"a", child}, {"b", contract_conv()}});
  gate->set_open({});
  const Slots slots = gate->forward_slots(contract_input());
  CHECK(slots.positions().empty());
  CHECK(slots.values().empty());
  CHECK(slots.batch_size() == kContractSamples);
  CHECK(child->log.size() == (skip == Skip::kNoGrad ? 1 : 0));
  const auto dense = slots.dense();
  CHECK(all_zero(dense));
  CHECK_FALSE(dense.requires_grad());
  CHECK(dense.sizes() == c10::IntArrayRef({kContractSamples, 8, 6, 6}));
  // The probes, or the forward without a graph.
  CHECK(child->log.size() == (skip == Skip::kNoGrad ? 1 : 2));
}

TEST_CASE(
    "Contract: a filled slot has the dtype that the branch would have given",
    "[contract][forward]") {
  const auto skip = GENERATE(contract_skips());
  const auto dtype =
      GENERATE(torch::kDouble, torch::kBFloat16, torch::kHalf, torch::kFloat);
  const bool declared = GENERATE(true, false);
  CAPTURE(skip, dtype, declared);
  const OutputShape shape = declared ? OutputShape{4, 6, 6} : OutputShape();

  auto a = contract_conv();
  auto b = contract_conv();
  ConcatGate gate(
      ConcatGateOptions(1).skip(skip).output_shape(shape),
      {{"a", a}, {"b", b}});
  GatedBranch branch(
      contract_conv(), GatedBranchOptions().skip(skip).output_shape(shape));
  const auto input = contract_input();
  // Once as float, so that what is remembered has to be forgotten.
  gate->forward(input);
  gate->to(dtype);
  branch->to(dtype);
  const auto as_dtype = input.to(dtype);

  branch->set_open(false);
  CHECK(branch->forward(as_dtype).scalar_type() == dtype);
  CHECK(all_zero(branch->forward(as_dtype)));
  gate->set_open({1});
  const auto output = gate->forward(as_dtype);
  CHECK(output.scalar_type() == dtype);
  CHECK(all_zero(output.narrow(1, 0, 4)));
  CHECK(bit_equal(output.narrow(1, 4, 4), b->forward(as_dtype)));
  gate->set_open({});
  CHECK(gate->forward(as_dtype).scalar_type() == dtype);
}

TEST_CASE(
    "Contract: under autocast a filled slot does not promote the others",
    "[contract][forward][backward]") {
  const auto skip = GENERATE(contract_skips());
  const bool declared = GENERATE(true, false);
  const bool seen_before = GENERATE(true, false);
  CAPTURE(skip, declared, seen_before);

  auto a = contract_conv();
  auto b = contract_conv();
  ConcatGate gate(
      ConcatGateOptions(1).skip(skip).output_shape(
          declared ? OutputShape{4, 6, 6} : OutputShape()),
      {{"a", a}, {"b", b}});
  const auto input = contract_input();
  gate->set_open({1});
  if (seen_before) {
    CHECK(gate->forward(input).scalar_type() == torch::kFloat);
  }
  {
    const Autocast autocast;
    const auto output = gate->forward(input);
    CHECK(output.scalar_type() == torch::kBFloat16);
    CHECK(all_zero(output.narrow(1, 0, 4)));
    output.sum().backward();
    gate->set_open({});
    CHECK(gate->forward(input).scalar_type() == torch::kBFloat16);
    gate->set_open({1});
  }
  CHECK(all_defined(gradients_of(*b)));
  CHECK(none_defined(gradients_of(*a)));
  CHECK(gate->forward(input).scalar_type() == torch::kFloat);
}

TEST_CASE(
    "Contract: slots made under autocast are dense in its dtype later too",
    "[contract][forward]") {
  ConcatGate gate(
      ConcatGateOptions(1), {{"a", contract_conv()}, {"b", contract_conv()}});
  gate->set_open({1});
  const auto input = contract_input();
  const Slots slots = [&] {
    const Autocast autocast;
    return gate->forward_slots(input);
  }();
  CHECK(slots.dense().scalar_type() == torch::kBFloat16);
}

TEST_CASE(
    "Contract: finding out what autocast would give leaves it as it was",
    "[contract][forward]") {
  const auto skip = GENERATE(contract_skips());
  CAPTURE(skip);
  torch::manual_seed(1);
  ConcatGate gate(
      ConcatGateOptions(1).skip(skip),
      {{"a", torch::nn::Linear(3, 2)}, {"b", torch::nn::Linear(3, 2)}});
  gate->set_open({1});
  const auto input = torch::randn({kContractSamples, 3});
  const Slots slots = [&] {
    const Autocast half(torch::kHalf);
    return gate->forward_slots(input);
  }();

  REQUIRE(at::autocast::get_autocast_dtype(at::kCPU) == torch::kBFloat16);
  CHECK(slots.dense().scalar_type() == torch::kHalf);
  CHECK_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
  CHECK(at::autocast::get_autocast_dtype(at::kCPU) == torch::kBFloat16);
}

TEST_CASE(
    "Contract: a closed run leaves no weight without a graph in autocast's "
    "cache",
    "[contract][backward]") {
  const auto skip = GENERATE(contract_skips());
  CAPTURE(skip);
  auto shared = contract_conv();
  ConcatGate gate(
      ConcatGateOptions(1).skip(skip), {{"a", shared}, {"b", shared}});
  gate->set_open({1});  // "a" runs first, without a graph, or is probed
  const auto input = contract_input();
  {
    const Autocast autocast;
    const Slots slots = gate->forward_slots(input);
    slots.dense().sum().backward();
    GatedBranch branch(shared, GatedBranchOptions().skip(skip));
    branch->set_open(false);
    branch->forward(input);
    CHECK(shared->forward(input).requires_grad());
  }
  CHECK(all_defined(gradients_of(*shared)));
}

TEST_CASE(
    "Contract: the memory format of a filled slot is the branch's",
    "[contract][forward]") {
  const auto kind =
      GENERATE(Kind::kGatedBranch, Kind::kChoiceBlock, Kind::kConcatGate);
  const auto skip = GENERATE(contract_skips());
  const std::string source = GENERATE("declared", "returned", "probed");
  const bool all_closed = GENERATE(true, false);
  CAPTURE(kind, skip, source, all_closed);

  auto wrapper = contract_wrapper(
      kind,
      {.skip = skip,
       .shape = source == "declared" ? OutputShape{4, 6, 6} : OutputShape()});
  const auto plain = contract_input();
  const auto input = plain.contiguous(torch::MemoryFormat::ChannelsLast);
  if (source == "returned") {
    wrapper.forward(input);
  }
  wrapper.set_open(false);
  if (all_closed) {
    wrapper.close_all();
  }
  CHECK(
      wrapper.forward(input).is_contiguous(torch::MemoryFormat::ChannelsLast));
  CHECK(wrapper.forward(plain).is_contiguous());
}
