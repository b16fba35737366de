// SPDX-License-Identifier: MIT
#include <gatedpaths/slots/slot_conv.hpp>

#include <gatedpaths/gates/concat_gate.hpp>

#include <torch/nn/modules/conv.h>
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

using gatedpaths::SlotConv1d;
using gatedpaths::SlotConv2d;
using gatedpaths::SlotConvImpl;
using gatedpaths::SlotConvOptions;
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
using gatedpaths::test::open_sets;
using gatedpaths::test::part_of;
using gatedpaths::test::random_stream;

namespace {

using Conv1dOptions = torch::nn::Conv1dOptions;
using Conv2dOptions = torch::nn::Conv2dOptions;

Conv2dOptions slot_conv_options() {
  return Conv2dOptions(kAllSlots, 5, 3).padding(1);
}

SlotConv2d slot_conv(bool bias = true) {
  torch::manual_seed(1);
  return SlotConv2d(
      SlotConvOptions<2>(kSlotSizes, slot_conv_options().bias(bias)));
}

Slots maps_of(const torch::Tensor& input, const std::vector<int64_t>& open) {
  auto gate = cutting_gate(kSlotSizes);
  gate->set_open(open);
  return gate->forward_slots(input);
}

}  // namespace

TEST_CASE(
    "SlotConv2d: computes what the dense layer does, for every open set",
    "[slot_conv][forward][backward]") {
  const auto dtype = GENERATE(torch::kFloat, torch::kDouble, torch::kBFloat16);
  CAPTURE(dtype);
  torch::manual_seed(1);
  torch::nn::Conv2d dense = nullptr;
  SECTION("plain") { dense = torch::nn::Conv2d(kAllSlots, 5, 3); }
  SECTION("padding") {
    dense =
        torch::nn::Conv2d(Conv2dOptions(kAllSlots, 5, {3, 1}).padding({1, 2}));
  }
  SECTION("stride and dilation, no bias") {
    dense = torch::nn::Conv2d(Conv2dOptions(kAllSlots, 5, {2, 3})
                                  .stride({2, 1})
                                  .dilation({1, 2})
                                  .bias(false));
  }
  SECTION("padding to the same size") {
    dense = torch::nn::Conv2d(
        Conv2dOptions(kAllSlots, 5, {3, 2}).padding(torch::kSame));
  }
  SECTION("no padding, by name") {
    dense = torch::nn::Conv2d(
        Conv2dOptions(kAllSlots, 5, 2).padding(torch::kValid));
  }
  dense->to(dtype);
  auto layer = SlotConv2d::from_dense(dense, kSlotSizes);
  const auto x = torch::randn({2, kAllSlots, 6, 7}).to(dtype);
  check_against_dense(layer, dense, kSlotSizes, x, 1);
  check_against_dense(layer, dense, kSlotSizes, x, -3);
}

TEST_CASE(
    "SlotConv2d: large values give the same without being joined",
    "[slot_conv][forward][backward]") {
  torch::manual_seed(1);
  torch::nn::Conv2d dense(Conv2dOptions(2, 1, 1));
  dense->to(torch::kDouble);
  const auto layer = SlotConv2d::from_dense(dense, {1, 1});
  const auto x = torch::randn({1, 2, 1024, 600}, torch::kDouble);
  check_against_dense(layer, dense, {1, 1}, x, 1);
}

TEST_CASE(
    "SlotConv1d: computes what the dense layer does, for every open set",
    "[slot_conv][forward][backward]") {
  const auto dtype = GENERATE(torch::kFloat, torch::kDouble, torch::kBFloat16);
  CAPTURE(dtype);
  torch::manual_seed(1);
  torch::nn::Conv1d dense = nullptr;
  SECTION("stride, padding and dilation") {
    dense = torch::nn::Conv1d(
        Conv1dOptions(kAllSlots, 5, 3).stride(2).padding(3).dilation(2));
  }
  SECTION("padding to the same size, no bias") {
    dense = torch::nn::Conv1d(
        Conv1dOptions(kAllSlots, 5, 3).padding(torch::kSame).bias(false));
  }
  dense->to(dtype);
  auto layer = SlotConv1d::from_dense(dense, kSlotSizes);
  const auto x = torch::randn({3, kAllSlots, 9}).to(dtype);
  check_against_dense(layer, dense, kSlotSizes, x, 1);
}

TEST_CASE(
    "SlotConv2d: takes maps in channels-last memory",
    "[slot_conv][forward][backward]") {
  torch::manual_seed(1);
  torch::nn::Conv2d dense(slot_conv_options());
  auto layer = SlotConv2d::from_dense(dense, kSlotSizes);
  const auto x = torch::randn({2, kAllSlots, 5, 6})
                     .contiguous(torch::MemoryFormat::ChannelsLast);
  check_against_dense(layer, dense, kSlotSizes, x, 1);
}

TEST_CASE(
    "SlotConv2d: computes in the dtype of autocast",
    "[slot_conv][forward][backward]") {
  auto layer = slot_conv();
  auto dense = layer->to_dense();
  const auto x = torch::randn({2, kAllSlots, 5, 5});
  auto gate = cutting_gate(kSlotSizes);
  for (const auto& open : open_sets(4)) {
    CAPTURE(open);
    gate->set_open(open);
    const Autocast autocast;
    const auto actual = layer->forward(gate->forward_slots(x));
    const auto expected = dense->forward(gate->forward(x));
    CHECK(actual.scalar_type() == torch::kBFloat16);
    CHECK(expected.scalar_type() == torch::kBFloat16);
    CHECK(largest_difference(actual, expected) <= 8.0 / 256);
  }
}

TEST_CASE(
    "SlotConv2d: an open forward has its graph after one with nothing open",
    "[slot_conv][backward]") {
  auto layer = slot_conv();
  const auto x = torch::randn({2, kAllSlots, 5, 5});
  const Autocast autocast;
  const auto none = layer->forward(maps_of(x, {}));
  const auto first = layer->forward(maps_of(x, {0}));
  (none + first).sum().backward();
  CHECK(layer->weights[0].grad().defined());
  CHECK(layer->bias.grad().defined());
}

TEST_CASE(
    "SlotConv2d: has the gradients of finite differences",
    "[slot_conv][backward]") {
  auto layer = slot_conv();
  layer->to(torch::kDouble);
  const auto x = torch::randn({1, kAllSlots, 3, 3}, torch::kDouble);
  x.requires_grad_();
  const auto loss = [&] {
    return layer->forward(maps_of(x, {1, 3})).tanh().square().mean();
  };
  loss().backward();
  CHECK(gradient_error(loss, layer->weights[1]) < 1e-8);
  CHECK(gradient_error(loss, layer->weights[3]) < 1e-8);
  CHECK(gradient_error(loss, layer->bias) < 1e-8);
  CHECK(gradient_error(loss, x) < 1e-8);
}

TEST_CASE(
    "SlotConv2d: does not read the weights of closed slots",
    "[slot_conv][forward]") {
  auto layer = slot_conv();
  {
    const torch::NoGradGuard no_grad;
    layer->weights[0].fill_(std::numeric_limits<float>::quiet_NaN());
  }
  const auto x = torch::randn({2, kAllSlots, 5, 5});
  CHECK(layer->forward(maps_of(x, {1, 2})).isfinite().all().item<bool>());
  CHECK(layer->forward(maps_of(x, {})).isfinite().all().item<bool>());
}

TEST_CASE(
    "SlotConv2d: gives the bias with nothing open",
    "[slot_conv][forward][backward]") {
  const auto x = torch::randn({2, kAllSlots, 5, 6});
  SECTION("with a bias") {
    auto layer = slot_conv();
    const auto y = layer->forward(maps_of(x, {}));
    CHECK(bit_equal(y, layer->bias.view({1, 5, 1, 1}).expand({2, 5, 5, 6})));
    y.sum().backward();
    CHECK(bit_equal(layer->bias.grad(), torch::full({5}, 60.0)));
    CHECK_FALSE(layer->weights[0].grad().defined());
  }
  SECTION("without a bias") {
    const auto y = slot_conv(/*bias=*/false)->forward(maps_of(x, {}));
    CHECK(bit_equal(y, torch::zeros({2, 5, 5, 6})));
    CHECK_FALSE(y.requires_grad());
  }
}

TEST_CASE("SlotConv2d: is made with the dense layer's numbers", "[slot_conv]") {
  const bool bias = GENERATE(true, false);
  torch::manual_seed(5);
  const SlotConv2d layer(
      SlotConvOptions<2>(kSlotSizes, slot_conv_options().bias(bias)));
  const auto after = random_stream();
  torch::manual_seed(5);
  const torch::nn::Conv2d dense(slot_conv_options().bias(bias));
  CHECK(bit_equal(random_stream(), after));
  CHECK(bit_equal(torch::cat(layer->weights, 1), dense->weight));
  CHECK(bit_equal(layer->bias, dense->bias));
  for (const auto& weight : layer->weights) {
    CHECK(weight.requires_grad());
    CHECK(weight.is_leaf());
    CHECK(weight.is_contiguous());
  }
}

TEST_CASE("SlotConv2d: converts to and from dense", "[slot_conv]") {
  const bool bias = GENERATE(true, false);
  torch::manual_seed(1);
  torch::nn::Conv2d dense(Conv2dOptions(kAllSlots, 5, {3, 2})
                              .stride({2, 1})
                              .padding({0, 1})
                              .dilation({1, 2})
                              .bias(bias));
  dense->to(torch::kDouble);
  dense->eval();
  dense->weight.set_data(
      dense->weight.contiguous(torch::MemoryFormat::ChannelsLast));
  dense->weight.set_requires_grad(false);
  const auto stream = random_stream();
  auto layer = SlotConv2d::from_dense(dense, kSlotSizes);
  auto back = layer->to_dense();
  CHECK(bit_equal(random_stream(), stream));
  for (size_t i = 0; i < 4; ++i) {
    CHECK(
        bit_equal(layer->weights[i], part_of(dense->weight, kSlotSizes, i, 1)));
    CHECK_FALSE(layer->weights[i].requires_grad());
    CHECK(layer->weights[i].is_contiguous());
  }
  CHECK_FALSE(layer->is_training());
  CHECK(back->weight.is_contiguous());
  CHECK(bit_equal(back->weight, dense->weight));
  CHECK(bit_equal(back->bias, dense->bias));
  CHECK_FALSE(back->is_training());
  CHECK_FALSE(back->weight.requires_grad());
  if (bias) {
    CHECK(layer->bias.requires_grad());
    CHECK(back->bias.requires_grad());
  }
  // Weights of another layout may be convolved in another order.
  dense->weight.set_data(dense->weight.contiguous());
  const auto x = torch::randn({2, kAllSlots, 6, 6}, torch::kDouble);
  CHECK(bit_equal(back->forward(x), dense->forward(x)));
}

TEST_CASE(
    "SlotConv2d: a clone shares nothing and keeps all", "[slot_conv][clone]") {
  auto layer = slot_conv();
  layer->to(torch::kDouble);
  layer->eval();
  layer->weights[1].set_requires_grad(false);
  const auto stream = random_stream();
  const auto copy = std::dynamic_pointer_cast<SlotConvImpl<2>>(layer->clone());
  REQUIRE(copy);
  CHECK(bit_equal(random_stream(), stream));
  CHECK_FALSE(copy->is_training());
  CHECK(all_bit_equal(layer->parameters(), copy->parameters()));
  for (size_t i = 0; i < 4; ++i) {
    CHECK(copy->weights[i].is_same(copy->parameters()[i]));
    CHECK(copy->weights[i].data_ptr() != layer->weights[i].data_ptr());
    CHECK(copy->weights[i].requires_grad() == (i != 1));
  }
}

TEST_CASE("SlotConv2d: saves and loads", "[slot_conv][serialize]") {
  auto layer = slot_conv();
  std::stringstream stream;
  torch::save(layer, stream);
  SlotConv2d loaded(SlotConvOptions<2>(kSlotSizes, slot_conv_options()));
  torch::load(loaded, stream);
  CHECK(all_bit_equal(loaded->parameters(), layer->parameters()));
  CHECK(loaded->named_parameters().contains("weight_3"));
}

TEST_CASE("SlotConv: prints its options", "[slot_conv][print]") {
  std::ostringstream text;
  text << SlotConv2d(
              SlotConvOptions<2>({16, 16}, Conv2dOptions(32, 64, 3).padding(1)))
       << "\n"
       << SlotConv1d(
              SlotConvOptions<1>({1, 2}, Conv1dOptions(3, 4, 5)).coast(true));
  CHECK(
      text.str() ==
      "gatedpaths::SlotConv2d(slot_channels=[16, 16], coast=false, "
      "dense=torch::nn::Conv2d(32, 64, kernel_size=[3, 3], stride=[1, 1], "
      "padding=[1, 1]))\n"
      "gatedpaths::SlotConv1d(slot_channels=[1, 2], coast=true, "
      "dense=torch::nn::Conv1d(3, 4, kernel_size=5, stride=1))");
}

TEST_CASE(
    "SlotConv2d: coasting weights move as those of a dense layer do",
    "[slot_conv][backward]") {
  torch::manual_seed(1);
  torch::nn::Conv2d dense(slot_conv_options());
  auto layer = SlotConv2d::from_dense(dense, kSlotSizes);
  layer->options.coast(true);
  const auto options =
      torch::optim::SGDOptions(0.05).momentum(0.9).weight_decay(0.1);
  torch::optim::SGD of_dense(dense->parameters(), options);
  torch::optim::SGD of_slots(layer->parameters(), options);
  auto gate = cutting_gate(kSlotSizes);
  const auto sets = open_sets(4);
  for (size_t step = 0; step < 20; ++step) {
    gate->set_open(sets[step * 7 % 16]);
    const auto x = torch::randn({2, kAllSlots, 4, 4});
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
    "SlotConv2d: coasting gives gradients of zeros with nothing open",
    "[slot_conv][backward]") {
  auto layer = slot_conv(/*bias=*/false);
  layer->options.coast(true);
  const auto y = layer->forward(maps_of(torch::randn({2, 10, 4, 4}), {}));
  CHECK(all_zero(y));
  y.sum().backward();
  for (const auto& weight : layer->weights) {
    CHECK(all_zero(weight.grad()));
  }
}

TEST_CASE(
    "SlotConv2d: without coasting closed weights do not move",
    "[slot_conv][backward]") {
  auto layer = slot_conv();
  torch::optim::SGD sgd(
      layer->parameters(),
      torch::optim::SGDOptions(0.05).momentum(0.9).weight_decay(0.1));
  const auto step = [&](const std::vector<int64_t>& open) {
    sgd.zero_grad();
    layer->forward(maps_of(torch::randn({2, kAllSlots, 4, 4}), open))
        .square()
        .mean()
        .backward();
    sgd.step();
  };
  step({0, 1, 2, 3});
  const auto before = copies_of({layer->weights[1], layer->weights[3]});
  for (int i = 0; i < 20; ++i) {
    step({0, 2});
  }
  CHECK(all_bit_equal({layer->weights[1], layer->weights[3]}, before));
}

TEST_CASE("SlotConv: refuses options that do not fit", "[slot_conv][error]") {
  const auto message = [](std::vector<int64_t> channels,
                          const Conv2dOptions& dense) {
    return message_of<c10::ValueError>(
        [&] { SlotConv2d(SlotConvOptions<2>(channels, dense)); });
  };
  CHECK(
      message({2, 2}, Conv2dOptions(4, 6, 3).groups(2)) ==
      "SlotConv2d: expected groups of 1, since groups cut across slots, got 2");
  CHECK(
      message({2, 2}, Conv2dOptions(4, 6, 3).padding_mode(torch::kReflect)) ==
      "SlotConv2d: expected padding_mode kZeros, got kReflect");
  CHECK(
      message({2, 3}, Conv2dOptions(4, 6, 3)) ==
      "SlotConv2d: expected slot_channels that add up to the dense layer's 4 "
      "in_channels, got [2, 3], which add up to 5");
  CHECK(
      message({}, Conv2dOptions(4, 6, 3)) ==
      "SlotConv2d: expected slot_channels of at least one slot, got []");
  CHECK(
      message({4, 0}, Conv2dOptions(4, 6, 3)) ==
      "SlotConv2d: expected slot_channels of at least 1 each, got [4, 0]");
  CHECK(
      message_of<c10::ValueError>([] {
        SlotConv1d::from_dense(
            torch::nn::Conv1d(Conv1dOptions(4, 6, 3).groups(2)), {2, 2});
      }) ==
      "SlotConv1d: expected groups of 1, since groups cut across slots, got 2");
  CHECK(message_of<c10::ValueError>([] {
          SlotConv2d::from_dense(
              torch::nn::Conv2d(
                  Conv2dOptions(4, 6, 3).padding_mode(torch::kCircular)),
              {2, 2});
        }) == "SlotConv2d: expected padding_mode kZeros, got kCircular");
  CHECK(
      message_of<c10::ValueError>(
          [] { SlotConv2d::from_dense(torch::nn::Conv2d(4, 6, 3), {3, 2}); }) ==
      "SlotConv2d: expected slot_channels that add up to the dense layer's 4 "
      "in_channels, got [3, 2], which add up to 5");
  CHECK(message_of<c10::IndexError>([] {
          slot_conv()->slot_parameters(-1);
        }) == "SlotConv2d::slot_parameters: expected a slot in [0, 4), got -1");
}

TEST_CASE(
    "SlotConv2d: refuses the slots of another gate", "[slot_conv][error]") {
  auto layer = slot_conv();
  const auto message = [&](const std::vector<int64_t>& sizes,
                           int64_t dim,
                           const torch::Tensor& x,
                           const std::vector<int64_t>& open) {
    auto gate = cutting_gate(sizes, dim);
    gate->set_open(open);
    return message_of<c10::ValueError>(
        [&] { layer->forward(gate->forward_slots(x)); });
  };
  const auto x = torch::randn({2, 10, 4, 10});
  CHECK(
      message({5, 5}, 1, x, {0}) ==
      "SlotConv2d::forward: expected Slots of 4 slots, got 2");
  CHECK(
      message({2, 3, 4, 1}, 1, x, {0, 1}) ==
      "SlotConv2d::forward: expected slot 1 to have 1 along dim 1, got [2, 3, "
      "4, 10]");
  CHECK(
      message({1, 2, 4, 3}, 1, x, {}) ==
      "SlotConv2d::forward: expected slot 0 to have 2 along dim 1, got [2, 1, "
      "4, 10]");
  const std::string other_dim =
      "SlotConv2d::forward: expected slots that are concatenated along dim 1, "
      "got slots of [2, 10, 4, 2] along dim ";
  CHECK(message(kSlotSizes, 3, x, {0}) == other_dim + "3");
  CHECK(message(kSlotSizes, -1, x, {}) == other_dim + "-1");
}

TEST_CASE("SlotConv2d: says which slots were used", "[slot_conv][forward]") {
  auto layer = slot_conv();
  const auto x = torch::randn({2, kAllSlots, 4, 4});
  layer->forward(maps_of(x, {1, 3}));
  CHECK(layer->used_slots() == torch::IntArrayRef({1, 3}));
  layer->forget_used();
  layer->options.coast(true);
  layer->forward(maps_of(x, {}));
  CHECK(layer->used_slots() == torch::IntArrayRef({0, 1, 2, 3}));
}
