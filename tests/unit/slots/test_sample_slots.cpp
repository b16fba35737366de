// SPDX-License-Identifier: MIT
// Slots that hold a part of the samples, and the layers on them.
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/slots/slot_batch_norm.hpp>
#include <gatedpaths/slots/slot_conv.hpp>
#include <gatedpaths/slots/slot_linear.hpp>
#include <gatedpaths/slots/slot_map.hpp>
#include <gatedpaths/slots/slots.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "support/autocast.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/sample_gates.hpp"
#include "support/slot_layers.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::NonZero;
using gatedpaths::SlotBatchNorm2d;
using gatedpaths::SlotConv1d;
using gatedpaths::SlotConv2d;
using gatedpaths::SlotLinear;
using gatedpaths::SlotMap;
using gatedpaths::Slots;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::all_zero;
using gatedpaths::test::Autocast;
using gatedpaths::test::bit_equal;
using gatedpaths::test::cutting_gate;
using gatedpaths::test::kAllSlots;
using gatedpaths::test::kSlotSizes;
using gatedpaths::test::largest_difference;
using gatedpaths::test::mask_of;
using gatedpaths::test::message_of;
using gatedpaths::test::part_of;
using gatedpaths::test::scaled_difference;
using gatedpaths::test::upstream_of;

namespace {

// Four slots, five samples: nothing, all, whole and partial slots mixed, rows
// without any.
std::vector<torch::Tensor> slot_masks() {
  return {
      mask_of({"0000", "0000", "0000", "0000", "0000"}),
      mask_of({"1111", "1111", "1111", "1111", "1111"}),
      mask_of({"0000", "0010", "0000", "0000", "0000"}),
      mask_of({"1000", "0100", "0010", "0001", "1000"}),
      mask_of({"0111", "0101", "0110", "1100", "0100"}),
      mask_of({"1010", "0000", "1111", "0001", "0000"})};
}

torch::Tensor slot_rows(const std::vector<int64_t>& rows) {
  return torch::tensor(rows, torch::kLong);
}

// Holds a layer on slots of some samples against its dense layer.
template <class Layer, class Dense>
void check_partial(Layer layer, Dense dense, const torch::Tensor& input) {
  auto gate = cutting_gate(kSlotSizes);
  const double tolerance = input.scalar_type() == torch::kDouble ? 1e-12 : 1e-6;
  for (const auto& open : slot_masks()) {
    CAPTURE(open);
    layer->zero_grad();
    dense->zero_grad();
    const auto of_slots = input.detach().clone().requires_grad_();
    const auto of_dense = input.detach().clone().requires_grad_();
    const auto actual = layer->forward(gate->forward_slots(of_slots, open));
    const auto expected = dense->forward(gate->forward(of_dense, open));
    REQUIRE(actual.sizes() == expected.sizes());
    CHECK(scaled_difference(actual, expected) <= tolerance);
    if (!actual.requires_grad()) {
      continue;
    }
    actual.backward(upstream_of(actual));
    expected.backward(upstream_of(expected));
    CHECK(scaled_difference(of_slots.grad(), of_dense.grad()) <= tolerance);
    for (size_t i = 0; i < kSlotSizes.size(); ++i) {
      const auto& gradient = layer->weights[i].grad();
      if (!open.select(1, static_cast<int64_t>(i)).any().item<bool>()) {
        CHECK_FALSE(gradient.defined());
        continue;
      }
      CHECK(
          scaled_difference(
              gradient, part_of(dense->weight.grad(), kSlotSizes, i, 1)) <=
          tolerance);
    }
    if (layer->bias.defined()) {
      CHECK(
          scaled_difference(layer->bias.grad(), dense->bias.grad()) <=
          tolerance);
    }
  }
}

}  // namespace

TEST_CASE("Slots: tell which samples each holds", "[slots][sample_gates]") {
  auto gate = cutting_gate(kSlotSizes);
  const auto x = torch::randn({5, kAllSlots});
  const Slots slots =
      gate->forward_slots(x, mask_of({"1100", "0100", "1100", "0100", "0100"}));
  CHECK(slots.positions() == torch::IntArrayRef({0, 1}));
  CHECK(slots.batch_size() == 5);
  CHECK(slots.is_partial());
  CHECK(bit_equal(slots.samples(0), slot_rows({0, 2})));
  CHECK_FALSE(slots.samples(1).defined());
  CHECK(bit_equal(
      slots.at(0), x.narrow(1, 0, 2).index_select(0, slot_rows({0, 2}))));
  CHECK(bit_equal(slots.at(1), x.narrow(1, 2, 1)));
  CHECK(
      message_of<c10::ValueError>([&] { slots.samples(2); }) ==
      "Slots::samples: expected a slot that holds a value, one of [0, 1], got "
      "branch 2 ('2')");
  CHECK(message_of<c10::IndexError>([&] {
          slots.samples(4);
        }) == "Slots::samples: expected a slot in [0, 4), got 4");

  const Slots whole = gate->forward_slots(x);
  CHECK_FALSE(whole.is_partial());
  CHECK_FALSE(whole.samples(3).defined());
  CHECK_FALSE(
      gate->forward_slots(x, torch::ones({5, 4}, torch::kBool)).is_partial());
}

TEST_CASE(
    "Slots: flatten, map and dense take partial slots",
    "[slots][sample_gates][forward]") {
  auto gate = cutting_gate(kSlotSizes);
  const auto x = torch::randn({5, kAllSlots, 2});
  for (const auto& open : slot_masks()) {
    CAPTURE(open);
    const Slots slots = gate->forward_slots(x, open);
    const auto dense = gate->forward(x, open);
    const auto wide = open.repeat_interleave(slot_rows(kSlotSizes), 1)
                          .unsqueeze(-1)
                          .expand_as(x);
    CHECK(bit_equal(dense, torch::where(wide, x, torch::zeros_like(x))));
    CHECK(bit_equal(slots.dense(), dense));
    CHECK(bit_equal(slots.flatten().dense(), dense.flatten(1)));
    CHECK(bit_equal(
        slots.map([](const auto& value) { return value.relu(); }).dense(),
        dense.relu()));
    SlotMap relu{torch::nn::ReLU()};
    CHECK(bit_equal(
        relu->forward(slots).flatten().dense(), dense.relu().flatten(1)));
  }
}

TEST_CASE(
    "Slots: concatenated along the batch, each slot has all its rows",
    "[slots][sample_gates][forward]") {
  ConcatGate<> gate(
      ConcatGateOptions(0),
      {{"a", torch::nn::Identity()}, {"b", torch::nn::Identity()}});
  const auto x = torch::tensor({{1.0F}, {2.0F}});
  CHECK(bit_equal(
      gate->forward(x, mask_of({"10", "11"})),
      torch::tensor({{1.0F}, {2.0F}, {0.0F}, {2.0F}})));
}

TEST_CASE(
    "SlotLinear: equals the dense layer on slots of some samples",
    "[slot_linear][sample_gates][forward][backward]") {
  const auto dtype = GENERATE(torch::kFloat, torch::kDouble);
  const bool with_bias = GENERATE(true, false);
  torch::manual_seed(1);
  torch::nn::Linear dense(
      torch::nn::LinearOptions(kAllSlots, 6).bias(with_bias));
  dense->to(dtype);
  check_partial(
      SlotLinear::from_dense(dense, kSlotSizes),
      dense,
      torch::randn({5, kAllSlots}, dtype));
}

TEST_CASE(
    "SlotConv: equals the dense layer on slots of some samples",
    "[slot_conv][sample_gates][forward][backward]") {
  const auto dtype = GENERATE(torch::kFloat, torch::kDouble);
  const bool with_bias = GENERATE(true, false);
  torch::manual_seed(1);
  torch::nn::Conv2d dense(torch::nn::Conv2dOptions(kAllSlots, 3, 3)
                              .padding(1)
                              .stride(2)
                              .bias(with_bias));
  dense->to(dtype);
  check_partial(
      SlotConv2d::from_dense(dense, kSlotSizes),
      dense,
      torch::randn({5, kAllSlots, 5, 4}, dtype));
  torch::nn::Conv1d dense_1d(
      torch::nn::Conv1dOptions(kAllSlots, 3, 2).bias(with_bias));
  dense_1d->to(dtype);
  check_partial(
      SlotConv1d::from_dense(dense_1d, kSlotSizes),
      dense_1d,
      torch::randn({5, kAllSlots, 4}, dtype));
}

TEST_CASE(
    "SlotLinear: rows without a slot are the bias, under autocast too",
    "[slot_linear][sample_gates][forward]") {
  auto gate = cutting_gate(kSlotSizes);
  const auto open = mask_of({"1000", "0000", "0010"});
  SlotLinear layer(gatedpaths::SlotLinearOptions(kSlotSizes, 3));
  const auto x = torch::randn({3, kAllSlots});
  CHECK(
      bit_equal(layer->forward(gate->forward_slots(x, open))[1], layer->bias));
  const Autocast autocast;
  const auto output = layer->forward(gate->forward_slots(x, open));
  CHECK(output.scalar_type() == torch::kBFloat16);
  CHECK(bit_equal(output[1], layer->bias.to(torch::kBFloat16)));
}

TEST_CASE(
    "SlotLinear: coasts on slots of some samples",
    "[slot_linear][sample_gates][backward]") {
  auto gate = cutting_gate(kSlotSizes);
  SlotLinear layer(gatedpaths::SlotLinearOptions(kSlotSizes, 3).coast(true));
  layer
      ->forward(gate->forward_slots(
          torch::randn({2, kAllSlots}), mask_of({"1000", "0100"})))
      .sum()
      .backward();
  CHECK_FALSE(all_zero(layer->weights[0].grad()));
  CHECK(all_zero(layer->weights[2].grad()));
  CHECK(layer->used_slots().size() == 4);
}

TEST_CASE(
    "SlotBatchNorm: normalises over the samples that a slot holds",
    "[slot_batch_norm][sample_gates][forward]") {
  torch::manual_seed(1);
  torch::nn::BatchNorm2d dense(kAllSlots);
  auto norm = SlotBatchNorm2d::from_dense(dense, kSlotSizes);
  auto by_hand = SlotBatchNorm2d::from_dense(dense, kSlotSizes);
  auto gate = cutting_gate(kSlotSizes);
  const auto x = torch::randn({5, kAllSlots, 3, 3});
  const Slots slots = norm->forward(gate->forward_slots(
      x, mask_of({"1100", "0100", "1100", "0100", "0100"})));
  CHECK(slots.is_partial());
  CHECK(bit_equal(
      slots.at(0),
      by_hand->norms[0]->forward(
          x.index_select(0, slot_rows({0, 2})).narrow(1, 0, 2))));
  CHECK(bit_equal(
      slots.at(1), by_hand->norms[1]->forward(x.narrow(1, 2, 1).contiguous())));
  CHECK(all_bit_equal(norm->buffers(), by_hand->buffers()));
  CHECK(all_zero(slots.dense()[1].narrow(0, 0, 2)));
}
