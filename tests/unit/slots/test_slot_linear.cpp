// SPDX-License-Identifier: MIT
#include <gatedpaths/slots/slot_linear.hpp>

#include <gatedpaths/gates/concat_gate.hpp>

#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>
#include <torch/serialize.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "support/autocast.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/finite_difference.hpp"
#include "support/slot_layers.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::SlotLinear;
using gatedpaths::SlotLinearImpl;
using gatedpaths::SlotLinearOptions;
using gatedpaths::Slots;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::all_zero;
using gatedpaths::test::Autocast;
using gatedpaths::test::bit_equal;
using gatedpaths::test::check_against_dense;
using gatedpaths::test::copies_of;
using gatedpaths::test::cutting_gate;
using gatedpaths::test::gradient_error;
using gatedpaths::test::kAllSlots;
using gatedpaths::test::kSlotSizes;
using gatedpaths::test::largest_difference;
using gatedpaths::test::message_of;
using gatedpaths::test::none_defined;
using gatedpaths::test::open_sets;
using gatedpaths::test::part_of;
using gatedpaths::test::random_stream;
using gatedpaths::test::Tensors;
using gatedpaths::test::upstream_of;

namespace {

torch::nn::Linear slot_linear_dense(bool bias = true) {
  torch::manual_seed(1);
  return torch::nn::Linear(torch::nn::LinearOptions(kAllSlots, 5).bias(bias));
}

SlotLinear slot_linear(bool bias = true) {
  return SlotLinear::from_dense(slot_linear_dense(bias), kSlotSizes);
}

Slots slots_of(const torch::Tensor& input, const std::vector<int64_t>& open) {
  auto gate = cutting_gate(kSlotSizes);
  gate->set_open(open);
  return gate->forward_slots(input);
}

}  // namespace

TEST_CASE(
    "SlotLinear: computes what the dense layer does, for every open set",
    "[slot_linear][forward][backward]") {
  const auto dtype = GENERATE(torch::kFloat, torch::kDouble, torch::kBFloat16);
  const bool bias = GENERATE(true, false);
  CAPTURE(dtype, bias);
  auto dense = slot_linear_dense(bias);
  dense->to(dtype);
  auto layer = SlotLinear::from_dense(dense, kSlotSizes);
  SECTION("one row a sample") {
    const auto x = torch::randn({6, kAllSlots}).to(dtype);
    check_against_dense(layer, dense, kSlotSizes, x, 1);
    check_against_dense(layer, dense, kSlotSizes, x, -1);
  }
  SECTION("several rows a sample") {
    const auto x = torch::randn({3, 4, kAllSlots}).to(dtype);
    check_against_dense(layer, dense, kSlotSizes, x, 2);
    check_against_dense(layer, dense, kSlotSizes, x, -1);
  }
}

TEST_CASE(
    "SlotLinear: computes what the dense layer does under autocast",
    "[slot_linear][forward][backward]") {
  auto dense = slot_linear_dense();
  auto layer = SlotLinear::from_dense(dense, kSlotSizes);
  const auto x = torch::randn({6, kAllSlots});
  auto gate = cutting_gate(kSlotSizes);
  for (const auto& open : open_sets(4)) {
    CAPTURE(open);
    gate->set_open(open);
    torch::Tensor actual;
    torch::Tensor expected;
    {
      const Autocast autocast;
      actual = layer->forward(gate->forward_slots(x));
      expected = dense->forward(gate->forward(x));
    }
    REQUIRE(actual.scalar_type() == torch::kBFloat16);
    CHECK(largest_difference(actual, expected) <= 4.0 / 256);
    layer->zero_grad();
    dense->zero_grad();
    actual.backward(upstream_of(actual));
    expected.backward(upstream_of(expected));
    CHECK(
        largest_difference(layer->bias.grad(), dense->bias.grad()) <=
        4.0 / 256);
    for (const int64_t slot : open) {
      const auto i = static_cast<size_t>(slot);
      CHECK(layer->weights[i].grad().scalar_type() == torch::kFloat);
      CHECK(
          largest_difference(
              layer->weights[i].grad(),
              part_of(dense->weight.grad(), kSlotSizes, i, 1)) <= 16.0 / 256);
    }
  }
}

TEST_CASE(
    "SlotLinear: has the gradients of finite differences",
    "[slot_linear][backward]") {
  auto layer = slot_linear();
  layer->to(torch::kDouble);
  const auto x = torch::randn({3, kAllSlots}, torch::kDouble);
  x.requires_grad_();
  const std::vector<int64_t> open = {0, 2, 3};
  const auto loss = [&] {
    return layer->forward(slots_of(x, open)).tanh().square().sum();
  };
  loss().backward();
  CHECK(gradient_error(loss, layer->weights[0]) < 1e-8);
  CHECK(gradient_error(loss, layer->weights[2]) < 1e-8);
  CHECK(gradient_error(loss, layer->weights[3]) < 1e-8);
  CHECK(gradient_error(loss, layer->bias) < 1e-8);
  CHECK(gradient_error(loss, x) < 1e-8);
}

TEST_CASE(
    "SlotLinear: closed slots get no gradient", "[slot_linear][backward]") {
  auto layer = slot_linear();
  layer->forward(slots_of(torch::randn({6, kAllSlots}), {1})).sum().backward();
  CHECK_FALSE(layer->weights[0].grad().defined());
  CHECK(layer->weights[1].grad().defined());
  CHECK_FALSE(layer->weights[2].grad().defined());
  CHECK_FALSE(layer->weights[3].grad().defined());
  CHECK(layer->bias.grad().defined());
}

TEST_CASE(
    "SlotLinear: does not read the weights of closed slots",
    "[slot_linear][forward]") {
  auto layer = slot_linear();
  {
    const torch::NoGradGuard no_grad;
    layer->weights[0].fill_(std::numeric_limits<float>::quiet_NaN());
    layer->weights[3].fill_(std::numeric_limits<float>::infinity());
  }
  const auto x = torch::randn({6, kAllSlots});
  CHECK(layer->forward(slots_of(x, {1, 2})).isfinite().all().item<bool>());
  CHECK(layer->forward(slots_of(x, {})).isfinite().all().item<bool>());
}

TEST_CASE(
    "SlotLinear: gives the bias with nothing open",
    "[slot_linear][forward][backward]") {
  auto layer = slot_linear();
  const auto x = torch::randn({6, kAllSlots});
  SECTION("with a bias") {
    const auto y = layer->forward(slots_of(x, {}));
    CHECK(bit_equal(y, layer->bias.expand({6, 5})));
    y.sum().backward();
    CHECK(bit_equal(layer->bias.grad(), torch::full({5}, 6.0)));
    CHECK(none_defined(
        {layer->weights[0].grad(),
         layer->weights[1].grad(),
         layer->weights[2].grad(),
         layer->weights[3].grad()}));
  }
  SECTION("of several rows a sample") {
    auto gate = cutting_gate(kSlotSizes, -1);
    gate->set_open({});
    const auto y =
        layer->forward(gate->forward_slots(torch::randn({2, 3, kAllSlots})));
    CHECK(bit_equal(y, layer->bias.expand({2, 3, 5})));
  }
  SECTION("without a bias") {
    const auto y = slot_linear(/*bias=*/false)->forward(slots_of(x, {}));
    CHECK(bit_equal(y, torch::zeros({6, 5})));
    CHECK_FALSE(y.requires_grad());
  }
  SECTION("of an empty batch") {
    const auto y = layer->forward(slots_of(x.narrow(0, 0, 0), {}));
    CHECK(y.sizes() == torch::IntArrayRef({0, 5}));
  }
  SECTION("in double, which autocast leaves alone") {
    auto wide = slot_linear();
    wide->to(torch::kDouble);
    const Autocast autocast;
    const auto y = wide->forward(slots_of(x.to(torch::kDouble), {}));
    CHECK(bit_equal(y, wide->bias.expand({6, 5})));
  }
  SECTION("behind flatten") {
    auto gate = cutting_gate(kSlotSizes);
    gate->set_open({});
    auto fc = SlotLinear(SlotLinearOptions({8, 4, 16, 12}, 5));
    const auto y = fc->forward(
        gate->forward_slots(torch::randn({3, kAllSlots, 2, 2})).flatten());
    CHECK(bit_equal(y, fc->bias.expand({3, 5})));
  }
}

TEST_CASE(
    "SlotLinear: an open forward has its graph after one with nothing open",
    "[slot_linear][backward]") {
  auto layer = slot_linear();
  const auto x = torch::randn({6, kAllSlots});
  const Autocast autocast;
  const auto none = layer->forward(slots_of(x, {}));
  const auto first = layer->forward(slots_of(x, {0}));
  (none + first).sum().backward();
  CHECK(layer->weights[0].grad().defined());
  CHECK(layer->bias.grad().defined());
}

TEST_CASE("SlotLinear: forward is the same in eval mode", "[slot_linear]") {
  auto layer = slot_linear();
  const auto x = torch::randn({6, kAllSlots});
  const auto y = layer->forward(slots_of(x, {0, 3}));
  layer->eval();
  CHECK(bit_equal(layer->forward(slots_of(x, {0, 3})), y));
}

TEST_CASE(
    "SlotLinear: is made with the dense layer's numbers", "[slot_linear]") {
  const bool bias = GENERATE(true, false);
  torch::manual_seed(5);
  const SlotLinear layer(SlotLinearOptions(kSlotSizes, 5).bias(bias));
  const auto after = random_stream();
  torch::manual_seed(5);
  const torch::nn::Linear dense(
      torch::nn::LinearOptions(kAllSlots, 5).bias(bias));
  CHECK(bit_equal(random_stream(), after));
  CHECK(bit_equal(torch::cat(layer->weights, 1), dense->weight));
  CHECK(bit_equal(layer->bias, dense->bias));
  std::vector<std::string> names;
  for (const auto& item : layer->named_parameters()) {
    names.push_back(item.key());
    CHECK(item.value().requires_grad());
    CHECK(item.value().is_contiguous());
  }
  std::vector<std::string> expected = {
      "weight_0", "weight_1", "weight_2", "weight_3"};
  if (bias) {
    expected.emplace_back("bias");
  }
  CHECK(names == expected);
}

TEST_CASE("SlotLinear: converts to and from dense", "[slot_linear]") {
  const bool bias = GENERATE(true, false);
  auto dense = slot_linear_dense(bias);
  SECTION("bit for bit") {
    const auto stream = random_stream();
    auto layer = SlotLinear::from_dense(dense, kSlotSizes);
    for (size_t i = 0; i < 4; ++i) {
      CHECK(bit_equal(
          layer->weights[i], part_of(dense->weight, kSlotSizes, i, 1)));
      CHECK(layer->weights[i].is_contiguous());
      CHECK(layer->weights[i].is_leaf());
    }
    const auto back = layer->to_dense();
    CHECK(bit_equal(back->weight, dense->weight));
    CHECK(bit_equal(back->bias, dense->bias));
    CHECK(back->options.in_features() == kAllSlots);
    CHECK(back->options.out_features() == 5);
    CHECK(back->options.bias() == bias);
    CHECK(bit_equal(random_stream(), stream));
  }
  SECTION("without sharing memory") {
    auto layer = SlotLinear::from_dense(dense, kSlotSizes);
    const auto before = layer->weights[0].detach().clone();
    const auto back = layer->to_dense();
    const torch::NoGradGuard no_grad;
    dense->weight.zero_();
    back->weight.zero_();
    CHECK(bit_equal(layer->weights[0], before));
  }
  SECTION("with modes, requires_grad and dtype") {
    const auto dtype = GENERATE(torch::kDouble, torch::kBFloat16);
    dense->to(dtype);
    dense->eval();
    dense->weight.set_requires_grad(false);
    auto layer = SlotLinear::from_dense(dense, kSlotSizes);
    CHECK_FALSE(layer->is_training());
    CHECK_FALSE(layer->weights[0].requires_grad());
    CHECK(layer->weights[0].scalar_type() == dtype);
    const auto back = layer->to_dense();
    CHECK_FALSE(back->is_training());
    CHECK_FALSE(back->weight.requires_grad());
    CHECK(bit_equal(back->weight, dense->weight));
    if (bias) {
      CHECK(layer->bias.requires_grad());
      CHECK(back->bias.requires_grad());
    }
  }
  SECTION("of one slot") {
    auto layer = SlotLinear::from_dense(dense, {kAllSlots});
    CHECK(bit_equal(layer->weights[0], dense->weight));
    CHECK(bit_equal(layer->to_dense()->weight, dense->weight));
  }
}

TEST_CASE(
    "SlotLinear: a clone shares nothing and keeps all",
    "[slot_linear][clone]") {
  auto layer = slot_linear();
  layer->options.coast(true);
  layer->to(torch::kDouble);
  layer->eval();
  layer->weights[1].set_requires_grad(false);
  const auto stream = random_stream();
  const auto copy = std::dynamic_pointer_cast<SlotLinearImpl>(layer->clone());
  REQUIRE(copy);
  CHECK(bit_equal(random_stream(), stream));
  CHECK(copy->options.coast());
  CHECK_FALSE(copy->is_training());
  const auto parameters = layer->parameters();
  const auto copies = copy->parameters();
  REQUIRE(copies.size() == 5);
  CHECK(all_bit_equal(parameters, copies));
  for (size_t i = 0; i < 4; ++i) {
    CHECK(copy->weights[i].is_same(copies[i]));
    CHECK(copies[i].data_ptr() != parameters[i].data_ptr());
    CHECK(copies[i].requires_grad() == (i != 1));
  }
  CHECK(copy->bias.is_same(copies[4]));
  CHECK_FALSE(copy->bias.is_same(layer->bias));
}

TEST_CASE("SlotLinear: saves and loads", "[slot_linear][serialize]") {
  auto layer = slot_linear();
  std::stringstream stream;
  torch::save(layer, stream);
  SlotLinear loaded(SlotLinearOptions(kSlotSizes, 5));
  CHECK_FALSE(bit_equal(loaded->weights[2], layer->weights[2]));
  torch::load(loaded, stream);
  CHECK(all_bit_equal(loaded->parameters(), layer->parameters()));
  CHECK(bit_equal(loaded->weights[2], layer->weights[2]));
}

TEST_CASE("SlotLinear: prints its options", "[slot_linear][print]") {
  std::ostringstream text;
  text << SlotLinear(SlotLinearOptions({400, 400}, 120).bias(false));
  CHECK(
      text.str() ==
      "gatedpaths::SlotLinear(slot_features=[400, 400], out_features=120, "
      "bias=false, coast=false)");
}

TEST_CASE(
    "SlotLinear: coasting weights move as those of a dense layer do",
    "[slot_linear][backward]") {
  auto dense = slot_linear_dense();
  auto layer = SlotLinear::from_dense(dense, kSlotSizes);
  layer->options.coast(true);
  const auto options =
      torch::optim::SGDOptions(0.05).momentum(0.9).weight_decay(0.1);
  torch::optim::SGD of_dense(dense->parameters(), options);
  torch::optim::SGD of_slots(layer->parameters(), options);
  auto gate = cutting_gate(kSlotSizes);
  const auto sets = open_sets(4);
  for (size_t step = 0; step < 20; ++step) {
    gate->set_open(sets[step * 7 % 16]);  // each set, the empty one too
    const auto x = torch::randn({6, kAllSlots});
    of_dense.zero_grad();
    of_slots.zero_grad();
    dense->forward(gate->forward(x)).square().mean().backward();
    layer->forward(gate->forward_slots(x)).square().mean().backward();
    of_dense.step();
    of_slots.step();
  }
  CHECK(
      largest_difference(torch::cat(layer->weights, 1), dense->weight) < 1e-6);
  CHECK(largest_difference(layer->bias, dense->bias) < 1e-6);
}

TEST_CASE(
    "SlotLinear: coasting gives gradients of zeros without a bias too",
    "[slot_linear][backward]") {
  auto layer = slot_linear(/*bias=*/false);
  layer->options.coast(true);
  const auto open = GENERATE(std::vector<int64_t>{}, std::vector<int64_t>{2});
  CAPTURE(open);
  layer->forward(slots_of(torch::randn({6, kAllSlots}), open)).sum().backward();
  for (size_t i = 0; i < 4; ++i) {
    CAPTURE(i);
    const bool is_open = !open.empty() && i == 2;
    CHECK(layer->weights[i].grad().defined());
    CHECK(all_zero(layer->weights[i].grad()) == !is_open);
  }
}

TEST_CASE(
    "SlotLinear: coasting keeps gradients that are there",
    "[slot_linear][backward]") {
  auto layer = slot_linear();
  layer->options.coast(true);
  const auto x = torch::randn({6, kAllSlots});
  layer->forward(slots_of(x, {0})).sum().backward();
  const auto first = layer->weights[0].grad().clone();
  layer->weights[3].set_requires_grad(false);
  layer->forward(slots_of(x, {1})).sum().backward();
  CHECK(bit_equal(layer->weights[0].grad(), first));
  CHECK_FALSE(all_zero(layer->weights[1].grad()));
}

TEST_CASE(
    "SlotLinear: without coasting closed weights and their state do not move",
    "[slot_linear][backward]") {
  auto layer = slot_linear();
  torch::optim::SGD sgd(
      layer->parameters(),
      torch::optim::SGDOptions(0.05).momentum(0.9).weight_decay(0.1));
  const auto step = [&](const std::vector<int64_t>& open) {
    sgd.zero_grad();
    layer->forward(slots_of(torch::randn({6, kAllSlots}), open))
        .square()
        .sum()
        .backward();
    sgd.step();
  };
  const auto buffer_of = [&](size_t slot) {
    auto* key = layer->weights[slot].unsafeGetTensorImpl();
    return dynamic_cast<torch::optim::SGDParamState&>(*sgd.state().at(key))
        .momentum_buffer();
  };
  step({0, 1, 2, 3});
  const Tensors before = copies_of(
      {layer->weights[1], layer->weights[3], buffer_of(1), buffer_of(3)});
  const auto moving = layer->weights[0].detach().clone();
  for (int i = 0; i < 20; ++i) {
    step(i % 3 == 0 ? std::vector<int64_t>{} : std::vector<int64_t>{0, 2});
  }
  CHECK(all_bit_equal(
      {layer->weights[1], layer->weights[3], buffer_of(1), buffer_of(3)},
      before));
  CHECK_FALSE(bit_equal(layer->weights[0], moving));
}

TEST_CASE("SlotLinear: refuses sizes that do not fit", "[slot_linear][error]") {
  auto dense = slot_linear_dense();
  CHECK(
      message_of<c10::ValueError>(
          [&] { SlotLinear::from_dense(dense, {2, 1, 4}); }) ==
      "SlotLinear::from_dense: expected slot_features that add up to the dense "
      "layer's 10 in_features, got [2, 1, 4], which add up to 7");
  CHECK(
      message_of<c10::ValueError>([&] { SlotLinear::from_dense(dense, {}); }) ==
      "SlotLinear::from_dense: expected slot_features that add up to the dense "
      "layer's 10 in_features, got [], which add up to 0");
  CHECK(
      message_of<c10::ValueError>(
          [&] { SlotLinear::from_dense(dense, {12, -2}); }) ==
      "SlotLinear: expected slot_features of at least 1 each, got [12, -2]");
  CHECK(
      message_of<c10::ValueError>([] {
        SlotLinear(SlotLinearOptions({}, 5));
      }) == "SlotLinear: expected slot_features of at least one slot, got []");
  CHECK(
      message_of<c10::ValueError>(
          [] { SlotLinear(SlotLinearOptions({3, 0}, 5)); }) ==
      "SlotLinear: expected slot_features of at least 1 each, got [3, 0]");
  CHECK(message_of<c10::ValueError>([] {
          SlotLinear(SlotLinearOptions({3}, 0));
        }) == "SlotLinear: expected out_features of at least 1, got 0");
  CHECK(message_of<c10::IndexError>([] {
          slot_linear()->slot_parameters(4);
        }) == "SlotLinear::slot_parameters: expected a slot in [0, 4), got 4");
}

TEST_CASE(
    "SlotLinear: refuses the slots of another gate", "[slot_linear][error]") {
  auto layer = slot_linear();
  const auto message = [&](const std::vector<int64_t>& sizes,
                           int64_t dim,
                           const torch::Tensor& x,
                           const std::vector<int64_t>& open) {
    auto gate = cutting_gate(sizes, dim);
    gate->set_open(open);
    return message_of<c10::ValueError>(
        [&] { layer->forward(gate->forward_slots(x)); });
  };
  CHECK(
      message({5, 5}, 1, torch::randn({2, 10}), {0}) ==
      "SlotLinear::forward: expected Slots of 4 slots, got 2");
  CHECK(
      message({2, 2, 3, 3}, 1, torch::randn({2, 10}), {0, 1}) ==
      "SlotLinear::forward: expected slot 1 to have 1 along dim 1, got [2, 2]");
  CHECK(
      message({3, 1, 3, 3}, 1, torch::randn({2, 10}), {}) ==
      "SlotLinear::forward: expected slot 0 to have 2 along dim 1, got [2, 3]");
  const std::string not_flat =
      "SlotLinear::forward: expected slots that are concatenated along dim -1, "
      "got slots of [2, 2, 3, 3] along dim 1; flatten() them first";
  CHECK(message(kSlotSizes, 1, torch::randn({2, 10, 3, 3}), {0}) == not_flat);
  CHECK(message(kSlotSizes, 1, torch::randn({2, 10, 3, 3}), {}) == not_flat);
}

TEST_CASE("SlotLinear: says which slots were used", "[slot_linear][forward]") {
  auto layer = slot_linear();
  const auto x = torch::randn({6, kAllSlots});
  CHECK(layer->num_slots() == 4);
  CHECK(layer->used_slots().empty());
  layer->forward(slots_of(x, {3}));
  layer->forward(slots_of(x, {0, 3}));
  CHECK(layer->used_slots() == torch::IntArrayRef({3, 0}));
  layer->forget_used();
  CHECK(layer->used_slots().empty());
  layer->forward(slots_of(x, {0}));
  CHECK(layer->used_slots() == torch::IntArrayRef({0}));
  layer->forget_used();
  layer->options.coast(true);
  layer->forward(slots_of(x, {2}));
  CHECK(layer->used_slots() == torch::IntArrayRef({0, 1, 2, 3}));
  REQUIRE(layer->slot_parameters(2).size() == 1);
  CHECK(layer->slot_parameters(2)[0].is_same(layer->weights[2]));
}

TEST_CASE(
    "SlotLinear: coasting goes through autograd as a dense layer's weight does",
    "[slot_linear][backward][second_order]") {
  auto layer = slot_linear();
  layer->options.coast(true);
  layer->to(torch::kDouble);
  const auto x =
      torch::randn({3, kAllSlots}, torch::kDouble).set_requires_grad(true);
  const std::vector<int64_t> open = {0, 2};
  SECTION("autograd::grad writes no gradient") {
    torch::autograd::grad({layer->forward(slots_of(x, open)).sum()}, {x});
    CHECK(none_defined(
        {layer->weights[0].grad(),
         layer->weights[1].grad(),
         layer->weights[2].grad(),
         layer->weights[3].grad(),
         layer->bias.grad()}));
  }
  SECTION("it gives zeros for closed weights") {
    const auto gradients = torch::autograd::grad(
        {layer->forward(slots_of(x, open)).sum()},
        {layer->weights[1], layer->weights[2]});
    CHECK(gradients[0].sizes() == layer->weights[1].sizes());
    CHECK(all_zero(gradients[0]));
    CHECK_FALSE(all_zero(gradients[1]));
  }
  SECTION("only where they are wanted") {
    layer->weights[1].set_requires_grad(false);
    layer->forward(slots_of(x, open)).sum().backward();
    CHECK_FALSE(layer->weights[1].grad().defined());
    CHECK(all_zero(layer->weights[3].grad()));
  }
  SECTION("weights may be stepped before the backward") {
    const auto y = layer->forward(slots_of(x.detach(), open));
    {
      const torch::NoGradGuard no_grad;
      layer->weights[1].add_(1);
    }
    y.sum().backward();
    CHECK(all_zero(layer->weights[1].grad()));
  }
  SECTION("the output may be changed in place") {
    auto y = layer->forward(slots_of(x, open));
    const auto expected = (y.detach() > 0).to(torch::kDouble).sum(0);
    y.relu_();
    y.sum().backward();
    CHECK(bit_equal(layer->bias.grad(), expected));
    CHECK(all_zero(layer->weights[1].grad()));
  }
  SECTION("twice") {
    const auto value = [&] {
      const torch::AutoGradMode with_grad(true);
      const auto y = layer->forward(slots_of(x, open));
      return torch::autograd::grad({y.sin().sum()}, {x}, {}, true, true)[0]
          .square()
          .sum();
    };
    value().backward();
    for (const size_t i : {0U, 2U}) {
      CHECK(gradient_error(value, layer->weights[i]) < 1e-6);
    }
    CHECK(all_zero(layer->weights[1].grad()));
  }
  SECTION("no graph without grad mode") {
    const torch::NoGradGuard no_grad;
    CHECK_FALSE(layer->forward(slots_of(x, open)).requires_grad());
  }
}
