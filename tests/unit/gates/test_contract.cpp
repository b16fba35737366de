// SPDX-License-Identifier: MIT
// The contract of a closed branch, cell by cell, for every kind of gate.
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/DistributionsHelper.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "support/autocast.hpp"
#include "support/catch.hpp"
#include "support/counting_child.hpp"
#include "support/errors.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"
#include "support/wrappers.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using gatedpaths::ChoiceBlock;
using gatedpaths::ChoiceBlockOptions;
using gatedpaths::ClosedValue;
using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::GatedBranch;
using gatedpaths::GatedBranchOptions;
using gatedpaths::NamedBranch;
using gatedpaths::OutputShape;
using gatedpaths::Skip;
using gatedpaths::Slots;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::all_defined;
using gatedpaths::test::all_zero;
using gatedpaths::test::Autocast;
using gatedpaths::test::bit_equal;
using gatedpaths::test::Closed;
using gatedpaths::test::copies_of;
using gatedpaths::test::CountingChild;
using gatedpaths::test::CountingChildImpl;
using gatedpaths::test::FunctionChild;
using gatedpaths::test::gradients_of;
using gatedpaths::test::Kind;
using gatedpaths::test::message_of;
using gatedpaths::test::none_defined;
using gatedpaths::test::random_stream;
using gatedpaths::test::reaches;
using gatedpaths::test::Tensors;
using gatedpaths::test::Wrapper;

namespace {

constexpr int64_t kSamples = 5;

auto contract_kinds() {
  return Catch::Generators::values(
      {Kind::kGatedBranch,
       Kind::kChoiceBlock,
       Kind::kConcatGate,
       Kind::kConcatSlots});
}

auto contract_skips() {
  return Catch::Generators::values({Skip::kZeroFill, Skip::kNoGrad});
}

torch::Tensor contract_input(int64_t samples = kSamples, int64_t size = 6) {
  torch::manual_seed(11);
  return torch::randn({samples, 3, size, size});
}

Wrapper contract_wrapper(Kind kind, const Closed& closed) {
  torch::manual_seed(1);
  return {kind, closed};
}

// A consumer of some gate's output: without one nothing can be trained while
// all is closed.
struct ContractNetImpl : torch::nn::Module {
  ContractNetImpl(Kind kind, const Closed& closed)
      : stem((torch::manual_seed(1), torch::nn::Conv2dOptions(3, 3, 1))),
        gate(kind, closed),
        head(kind == Kind::kConcatGate ? 8 : 4, 5) {
    register_module("stem", stem);
    register_module("gate", gate.module);
    register_module("head", head);
  }

  torch::Tensor forward(const torch::Tensor& input) {
    return head->forward(gate.forward(stem->forward(input)).mean({2, 3}));
  }

  torch::nn::Conv2d stem;
  Wrapper gate;
  torch::nn::Linear head;
};
TORCH_MODULE(ContractNet);

torch::nn::Conv2d contract_conv(int64_t in = 3, int64_t out = 4) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).padding(1));
}

}  // namespace

TEST_CASE(
    "Contract: an open branch is its bare child, bit for bit",
    "[contract][forward][backward]") {
  const auto kind = GENERATE(contract_kinds());
  const auto skip = GENERATE(contract_skips());
  const bool training = GENERATE(true, false);
  CAPTURE(kind, skip, training);

  auto wrapper = contract_wrapper(kind, {.skip = skip});
  wrapper.module->train(training);
  const auto bare =
      std::dynamic_pointer_cast<CountingChildImpl>(wrapper.child->clone());
  bare->train(training);
  const auto input = contract_input().requires_grad_();
  const auto bare_input = input.detach().clone().requires_grad_();
  const auto gradient = torch::randn({kSamples, 4, 6, 6});

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

  auto wrapper = contract_wrapper(kind, {.skip = skip});
  wrapper.module->train(training);
  wrapper.gate().set_open({0, 1});
  auto by_hand = contract_wrapper(kind, {.skip = skip});
  by_hand.module->train(training);
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
    auto wrapper = contract_wrapper(kind, {.shape = {4, 6, 6}});
    wrapper.module->train(training);
    wrapper.set_open(false);
    wrapper.forward(input);
    wrapper.forward(contract_input(2));
    wrapper.close_all();
    wrapper.forward(input);
    CHECK(wrapper.child->log.size() == 0);
  }
  SECTION("after it was open once") {
    auto wrapper = contract_wrapper(kind, {});
    wrapper.module->train(training);
    wrapper.forward(input);
    CHECK(wrapper.child->log.size() == 1);
    wrapper.set_open(false);
    wrapper.forward(input);
    wrapper.forward(contract_input(2));
    CHECK(wrapper.child->log.size() == 1);
  }
  SECTION("otherwise but for one probe of no sample, where zeros are needed") {
    auto wrapper = contract_wrapper(kind, {});
    wrapper.module->train(training);
    wrapper.set_open(false);
    for (const int64_t samples : {kSamples, kSamples, int64_t{2}}) {
      wrapper.forward(contract_input(samples));
      CHECK(wrapper.child->log.size() == wrapper.probes());
      CHECK(wrapper.child->log.with(0) == wrapper.probes());
    }
  }
}

TEST_CASE(
    "Contract: a closed branch is called once, without a graph, under no_grad",
    "[contract][forward]") {
  const auto kind = GENERATE(contract_kinds());
  const bool training = GENERATE(true, false);
  CAPTURE(kind, training);

  auto wrapper = contract_wrapper(kind, {.skip = Skip::kNoGrad});
  wrapper.module->train(training);
  wrapper.set_open(false);
  for (const int64_t calls : {1, 2, 3}) {
    wrapper.forward(contract_input());
    CHECK(wrapper.child->log.size() == calls);
    CHECK(wrapper.child->log.with(kSamples) == calls);
    CHECK_FALSE(wrapper.child->log.last().grad_mode);
    CHECK(wrapper.child->log.last().training == training);
    CHECK(c10::GradMode::is_enabled());
  }
}

TEST_CASE("Contract: a closed branch leaves no trace", "[contract][forward]") {
  const auto kind = GENERATE(contract_kinds());
  const auto skip = GENERATE(contract_skips());
  const bool training = GENERATE(true, false);
  CAPTURE(kind, skip, training);

  auto wrapper = contract_wrapper(kind, {.skip = skip});
  wrapper.module->train(training);
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
    auto* generator = at::globalContext()
                          .defaultGenerator(at::kCPU)
                          .get<at::CPUGeneratorImpl>();
    if (in_double) {
      at::normal_distribution<double>(0, 1)(generator);
    } else {
      at::normal_distribution<float>(0, 1)(generator);
    }
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
    CHECK(child->log.size() == (waits ? 2 : 1));
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

  auto wrapper = contract_wrapper(kind, {.skip = skip});
  wrapper.module->train(training);
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

  auto wrapper =
      contract_wrapper(kind, {.skip = Skip::kNoGrad, .track_statistics = true});
  wrapper.module->train(training);
  wrapper.set_open(false);
  const auto before = copies_of(wrapper.child->buffers());
  const auto bare =
      std::dynamic_pointer_cast<CountingChildImpl>(wrapper.child->clone());
  bare->train(training);
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
    "Contract: a closed branch gives its detached value where asked",
    "[contract][forward]") {
  const auto kind = GENERATE(contract_kinds());
  const bool training = GENERATE(true, false);
  CAPTURE(kind, training);

  auto wrapper = contract_wrapper(
      kind, {.skip = Skip::kNoGrad, .value = ClosedValue::kDetached});
  wrapper.module->train(training);
  wrapper.set_open(false);
  const auto bare =
      std::dynamic_pointer_cast<CountingChildImpl>(wrapper.child->clone());
  bare->train(training);
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
      c10::IntArrayRef({kSamples, channels, 6, 6}));
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
  const int64_t samples = GENERATE(0, 1, kSamples);
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
  CHECK(slots.batch_size() == kSamples);
  CHECK(child->log.size() == (skip == Skip::kNoGrad ? 1 : 0));
  const auto dense = slots.dense();
  CHECK(all_zero(dense));
  CHECK_FALSE(dense.requires_grad());
  CHECK(dense.sizes() == c10::IntArrayRef({kSamples, 8, 6, 6}));
  CHECK(child->log.size() == 1);  // the probe, or the forward without a graph
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
  const auto input = torch::randn({kSamples, 3});
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

TEST_CASE(
    "Contract: a child that two branches share is one child",
    "[contract][backward]") {
  const auto skip = GENERATE(contract_skips());
  const bool concat = GENERATE(true, false);
  CAPTURE(skip, concat);
  torch::manual_seed(1);
  auto shared = contract_conv();
  std::shared_ptr<torch::nn::Module> module;
  std::function<torch::Tensor(const torch::Tensor&)> forward;
  if (concat) {
    ConcatGate gate(
        ConcatGateOptions(1).skip(skip), {{"a", shared}, {"b", shared}});
    module = gate.ptr();
    forward = [gate](const torch::Tensor& x) mutable {
      return gate->forward(x);
    };
  } else {
    ChoiceBlock block(
        ChoiceBlockOptions().skip(skip).max_open(2),
        {{"a", shared}, {"b", shared}});
    module = block.ptr();
    forward = [block](const torch::Tensor& x) mutable {
      return block->forward(x);
    };
  }
  auto& gate = dynamic_cast<gatedpaths::GatedModule&>(*module);
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
    forward(input).sum().backward();
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
  CHECK(output.sizes() == c10::IntArrayRef({kSamples, 8, 3, 3}));
  CHECK(all_zero(output.narrow(1, 4, 4)));
  GatedBranch branch(path(), GatedBranchOptions().skip(skip));
  branch->set_open(false);
  CHECK(all_zero(branch->forward(input)));
  CHECK(
      branch->forward(input).sizes() == c10::IntArrayRef({kSamples, 4, 3, 3}));
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
  CHECK(output.sizes() == c10::IntArrayRef({kSamples, 8, 6, 6}));
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

  if (in_concat) {
    ConcatGate outer(
        ConcatGateOptions(1).skip(skip),
        {{"a", inner}, {"b", contract_conv()}});
    outer->set_open({1});
    for (int i = 0; i < 8; ++i) {
      outer->forward(contract_input(kSamples, 6 + i));
      CHECK(inner->draw_state() == state);
      CHECK(inner->open_branches() == open);
    }
  } else {
    GatedBranch outer(inner, GatedBranchOptions().skip(skip));
    outer->set_open(false);
    for (int i = 0; i < 8; ++i) {
      outer->forward(contract_input(kSamples, 6 + i));
      CHECK(inner->draw_state() == state);
      CHECK(inner->open_branches() == open);
    }
  }
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
  auto wrapper = contract_wrapper(kind, {.skip = skip});
  wrapper.module->train(training);
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
