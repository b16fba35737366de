// SPDX-License-Identifier: MIT
#include <gatedpaths/slots/slot_map.hpp>

#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/slots/slots.hpp>

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>

#include <cstdint>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "support/autocast.hpp"
#include "support/catch.hpp"
#include "support/counting_child.hpp"
#include "support/errors.hpp"
#include "support/slot_layers.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::NonZero;
using gatedpaths::SlotMap;
using gatedpaths::SlotMapImpl;
using gatedpaths::Slots;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::all_zero;
using gatedpaths::test::Autocast;
using gatedpaths::test::bit_equal;
using gatedpaths::test::copies_of;
using gatedpaths::test::cutting_gate;
using gatedpaths::test::FunctionChild;
using gatedpaths::test::kAllSlots;
using gatedpaths::test::kSlotSizes;
using gatedpaths::test::message_of;
using gatedpaths::test::open_sets;
using gatedpaths::test::part_of;
using gatedpaths::test::random_stream;

namespace {

Slots map_slots(
    const std::vector<int64_t>& open,
    const torch::Tensor& x = torch::randn({2, kAllSlots, 4, 6})) {
  auto gate = cutting_gate(kSlotSizes);
  gate->set_open(open);
  return gate->forward_slots(x);
}

torch::Tensor map_relu(const torch::Tensor& value) { return value.relu(); }

}  // namespace

TEST_CASE(
    "Slots: flatten and map give what the dense form gives",
    "[slots][forward][backward]") {
  // Convolutions, so that closed branches have a shape to find out.
  torch::manual_seed(1);
  ConcatGate<> gate(
      ConcatGateOptions(GENERATE(1, -3)),
      {{"a", torch::nn::Conv2d(3, 2, 3)},
       {"b", torch::nn::Conv2d(3, 1, 3)},
       {"c", torch::nn::Conv2d(3, 4, 3)},
       {"d", torch::nn::Conv2d(3, 3, 3)}});
  const auto x = torch::randn({2, 3, 6, 8});
  torch::nn::MaxPool2d pool(2);
  torch::nn::Dropout dropout(0.5);
  dropout->eval();
  for (const auto& open : open_sets(4)) {
    CAPTURE(open);
    gate->set_open(open);
    const Slots slots = gate->forward_slots(x);
    const auto dense = slots.dense();
    CHECK(bit_equal(slots.flatten().dense(), dense.flatten(1)));
    CHECK(bit_equal(slots.map(map_relu).dense(), dense.relu()));
    CHECK(bit_equal(slots.map(pool).dense(), pool->forward(dense)));
    CHECK(bit_equal(slots.map(dropout).dense(), dense));
    const auto chain = slots.map(map_relu).map(pool).flatten();
    CHECK(chain.dim() == 1);
    CHECK(chain.positions() == slots.positions());
    CHECK(chain.names() == slots.names());
    CHECK(chain.batch_size() == 2);
    CHECK(bit_equal(chain.dense(), pool->forward(dense.relu()).flatten(1)));
    CHECK(bit_equal(slots.dense(), dense));  // as it was
    if (!open.empty()) {
      gate->zero_grad();
      chain.dense().square().sum().backward();
      for (int64_t i = 0; i < 4; ++i) {
        const auto gradients =
            gatedpaths::test::gradients_of(gate->branch_module(i));
        CHECK(gatedpaths::test::all_defined(gradients) == gate->is_open(i));
      }
    }
  }
}

TEST_CASE("Slots: flatten keeps features as they are", "[slots][forward]") {
  const Slots slots = map_slots({1, 2}, torch::randn({2, kAllSlots}));
  CHECK(bit_equal(slots.flatten().dense(), slots.dense()));
  CHECK(slots.flatten().at(2).sizes() == torch::IntArrayRef({2, 4}));
}

TEST_CASE("Slots: map drops out open slots alone", "[slots][random]") {
  const Slots slots = map_slots({0, 2}, torch::ones({2, kAllSlots, 4, 6}));
  torch::nn::Dropout dropout(0.5);
  torch::manual_seed(3);
  const auto dropped = slots.map(dropout);
  const auto stream = random_stream();
  const auto dense = dropped.dense();
  CHECK(bit_equal(random_stream(), stream));
  torch::manual_seed(3);
  CHECK(bit_equal(dropped.at(0), dropout->forward(slots.at(0))));
  CHECK(bit_equal(dropped.at(2), dropout->forward(slots.at(2))));
  CHECK(bit_equal(random_stream(), stream));
  CHECK(all_zero(part_of(dense, kSlotSizes, 1, 1)));
  CHECK(all_zero(part_of(dense, kSlotSizes, 3, 1)));
  CHECK_FALSE(all_zero(part_of(dense, kSlotSizes, 2, 1)));
}

TEST_CASE("Slots: trying a function leaves no trace", "[slots][forward]") {
  const Slots slots = map_slots({2});
  SECTION("in the random stream") {
    const auto noise = [](const torch::Tensor& value) {
      return value * torch::rand_like(value);
    };
    torch::manual_seed(3);
    const auto mapped = slots.map(noise);
    torch::manual_seed(3);
    CHECK(bit_equal(mapped.at(2), noise(slots.at(2))));
  }
  SECTION("in buffers") {
    auto gate = cutting_gate({4, 4});
    gate->set_open({1});
    const Slots equal = gate->forward_slots(torch::randn({2, 8, 3, 3}));
    torch::nn::BatchNorm2d norm(4);
    torch::nn::BatchNorm2d twin(4);
    const auto mapped = equal.map(norm);
    twin->forward(equal.at(1));
    CHECK(all_bit_equal(norm->buffers(), twin->buffers()));
    const auto before = copies_of(norm->buffers());
    CHECK(all_zero(mapped.dense().narrow(1, 0, 4)));
    CHECK(all_bit_equal(norm->buffers(), before));
  }
  SECTION("in autocast's cache") {
    const auto weight = torch::randn({6, 6}).requires_grad_();
    const Autocast autocast;
    const auto mapped = slots.map(
        [&](const torch::Tensor& value) { return value.matmul(weight); });
    mapped.dense().sum().backward();
    CHECK(weight.grad().defined());
  }
  SECTION("in the graph") {
    const auto weight = torch::ones({1}).requires_grad_();
    const auto mapped =
        slots.map([&](const torch::Tensor& value) { return value * weight; });
    CHECK(mapped.at(2).requires_grad());
    mapped.at(2).sum().backward();
    CHECK(
        gatedpaths::test::largest_difference(
            weight.grad(), slots.at(2).sum().view({1})) < 1e-4);
  }
}

TEST_CASE(
    "Slots: map refuses what makes zeros into something else",
    "[slots][error]") {
  const Slots slots = map_slots({1, 2}, torch::randn({2, kAllSlots, 2, 3}));
  CHECK(
      message_of<c10::ValueError>([&] {
        slots.map([](const auto& value) { return value.sigmoid(); });
      }) ==
      "Slots::map: expected a function that leaves zeros zero, so that empty "
      "slots may stay empty, got one that makes 6 of 6 zeros into something "
      "else, such as 0.5; use NonZero::kAllow where that is wanted");
  CHECK(
      message_of<c10::ValueError>([&] {
        slots.map([](const auto& value) {
          return torch::constant_pad_nd(value, {0, 1}, 7);
        });
      }) ==
      "Slots::map: expected a function that leaves zeros zero, so that empty "
      "slots may stay empty, got one that makes 2 of 8 zeros into something "
      "else, such as 7; use NonZero::kAllow where that is wanted");
}

TEST_CASE(
    "Slots: map allows what makes zeros into something else where told",
    "[slots][forward]") {
  const Slots slots = map_slots({1, 2});
  const auto mapped = slots.map(
      [](const auto& value) { return value.sigmoid(); }, NonZero::kAllow);
  CHECK(bit_equal(mapped.at(2), slots.at(2).sigmoid()));
  const auto dense = mapped.dense();
  CHECK(all_zero(part_of(dense, kSlotSizes, 0, 1)));
  CHECK(bit_equal(part_of(dense, kSlotSizes, 2, 1), slots.at(2).sigmoid()));
  CHECK(all_zero(part_of(dense, kSlotSizes, 3, 1)));
}

TEST_CASE(
    "Slots: map refuses a function that changes the batch", "[slots][error]") {
  const Slots slots = map_slots({1, 2}, torch::randn({2, kAllSlots, 2, 3}));
  CHECK(
      message_of<c10::ValueError>([&] {
        slots.map([](const auto& value) { return value.repeat({2, 1, 1, 1}); });
      }) ==
      "Slots::map: expected a function that keeps the 2 samples of [2, 1, 2, "
      "3], got [4, 1, 2, 3]");
  CHECK(
      message_of<c10::ValueError>(
          [&] { slots.map([](const auto& value) { return value.sum(); }); }) ==
      "Slots::map: expected a function that keeps the 2 samples of [2, 1, 2, "
      "3], got []");
  CHECK(
      message_of<c10::ValueError>([&] {
        slots.map([](const torch::Tensor&) { return torch::Tensor(); });
      }) ==
      "Slots::map: expected a function that returns a tensor, got an undefined "
      "one");
}

TEST_CASE("Slots: flatten refuses slots along another dim", "[slots][error]") {
  const auto message = [](std::vector<int64_t> open) {
    auto gate = cutting_gate({1, 2}, 2);
    gate->set_open(open);
    const Slots slots = gate->forward_slots(torch::randn({2, 4, 3}));
    return message_of<c10::ValueError>([&] { slots.flatten().dense(); });
  };
  CHECK(
      message({0}) ==
      "Slots::flatten: expected slots that are concatenated along dim 1, so "
      "that their features lie side by side, got slots of 3 dims along dim 2");
  CHECK(message({}) == message({0}));
}

TEST_CASE("SlotMap: maps as Slots::map does", "[slot_map][forward]") {
  SlotMap pool(torch::nn::MaxPool2d(2));
  for (const auto& open : open_sets(4)) {
    const Slots slots = map_slots(open);
    CHECK(bit_equal(
        pool->forward(slots).dense(),
        slots.map(torch::nn::MaxPool2d(2)).dense()));
  }
}

TEST_CASE("SlotMap: tries its module once", "[slot_map][forward]") {
  FunctionChild child(map_relu);
  SlotMap map(child);
  map->forward(map_slots({}));
  CHECK(child->log.size() == 0);
  map->forward(map_slots({0, 1}));
  CHECK(child->log.with(1) == 1);
  CHECK(child->log.with(2) == 2);
  map->forward(map_slots({2}));
  map->forward(map_slots({3}));
  CHECK(child->log.with(1) == 1);
  CHECK(child->log.with(2) == 4);
}

TEST_CASE(
    "SlotMap: refuses a module that makes zeros into something else",
    "[slot_map][error]") {
  const auto shift = [](const torch::Tensor& value) { return value + 1; };
  SlotMap refuse{FunctionChild(shift)};
  for (int i = 0; i < 2; ++i) {  // a refusal is no success
    CHECK(
        message_of<c10::ValueError>([&] {
          refuse->forward(map_slots({1}, torch::randn({2, kAllSlots})));
        }) ==
        "Slots::map: expected a function that leaves zeros zero, so that empty "
        "slots may stay empty, got one that makes 1 of 1 zeros into something "
        "else, such as 1; use NonZero::kAllow where that is wanted");
  }
  FunctionChild child(shift);
  SlotMap allow(child, NonZero::kAllow);
  const Slots slots = map_slots({1});
  CHECK(bit_equal(allow->forward(slots).at(1), slots.at(1) + 1));
  CHECK(child->log.with(1) == 0);
}

TEST_CASE("SlotMap: holds its module", "[slot_map]") {
  torch::nn::Linear linear(torch::nn::LinearOptions(6, 6).bias(false));
  SlotMap map(linear);
  CHECK(map->named_parameters().contains("module.weight"));
  CHECK(map->named_parameters()["module.weight"].is_same(linear->weight));
  map->eval();
  CHECK_FALSE(linear->is_training());
  CHECK(message_of<c10::ValueError>([] {
          SlotMap(torch::nn::Linear(nullptr));
        }) == "SlotMap: expected a module, got an empty holder");
}

TEST_CASE("SlotMap: a clone shares nothing", "[slot_map][clone]") {
  torch::nn::Linear linear(torch::nn::LinearOptions(6, 6).bias(false));
  linear->eval();
  linear->weight.set_requires_grad(false);
  SlotMap map(linear);
  const auto copy = std::dynamic_pointer_cast<SlotMapImpl>(map->clone());
  REQUIRE(copy);
  const auto weight = copy->named_parameters()["module.weight"];
  CHECK(bit_equal(weight, linear->weight));
  CHECK_FALSE(weight.is_same(linear->weight));
  CHECK_FALSE(weight.requires_grad());
  CHECK_FALSE(copy->children()[0]->is_training());
  const Slots slots = map_slots({2});
  const auto before = map->forward(slots).at(2).clone();
  CHECK(bit_equal(copy->forward(slots).at(2), before));
  weight.fill_(0);
  CHECK(bit_equal(map->forward(slots).at(2), before));
  CHECK(all_zero(copy->forward(slots).at(2)));
}

TEST_CASE("SlotMap: prints its options", "[slot_map][print]") {
  std::ostringstream text;
  text << SlotMap(torch::nn::Dropout(0.5)) << "\n"
       << SlotMap(torch::nn::Dropout(0.5), NonZero::kAllow);
  CHECK(
      text.str() ==
      "gatedpaths::SlotMap(non_zero=kRefuse)(\n"
      "  (module): torch::nn::Dropout(p=0.5, inplace=false)\n"
      ")\n"
      "gatedpaths::SlotMap(non_zero=kAllow)(\n"
      "  (module): torch::nn::Dropout(p=0.5, inplace=false)\n"
      ")");
}
