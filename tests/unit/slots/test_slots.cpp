// SPDX-License-Identifier: MIT
#include <gatedpaths/slots/slots.hpp>

#include <gatedpaths/gates/concat_gate.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/counting_child.hpp"
#include "support/errors.hpp"
#include "support/tensors.hpp"

using gatedpaths::ClosedValue;
using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::Skip;
using gatedpaths::Slots;
using gatedpaths::test::all_zero;
using gatedpaths::test::bit_equal;
using gatedpaths::test::FunctionChild;
using gatedpaths::test::message_of;

namespace {

ConcatGate<> slots_gate(ConcatGateOptions options) {
  torch::manual_seed(1);
  return {
      options,
      {{"a", torch::nn::Linear(4, 1)},
       {"b", torch::nn::Linear(4, 2)},
       {"c", torch::nn::Linear(4, 3)}}};
}

}  // namespace

TEST_CASE("Slots: gives the open branches and the layout", "[slots]") {
  auto gate = slots_gate(ConcatGateOptions(-1));
  const auto x = torch::randn({2, 4});
  gate->set_open({"c", "a"});
  const Slots slots = gate->forward_slots(x);
  CHECK(slots.num_slots() == 3);
  CHECK(slots.names() == std::vector<std::string>{"a", "b", "c"});
  CHECK(slots.dim() == -1);
  CHECK(slots.batch_size() == 2);
  CHECK(slots.positions() == torch::IntArrayRef({0, 2}));
  REQUIRE(slots.values().size() == 2);
  CHECK(slots.holds(0));
  CHECK_FALSE(slots.holds(1));
  CHECK(slots.holds(2));
  CHECK(bit_equal(slots.at(0), gate->branch(0).forward(x)));
  CHECK(bit_equal(slots.at(2), gate->branch("c").forward(x)));
  CHECK(slots.at(2).is_same(slots.values()[1]));
}

TEST_CASE("Slots: dense puts zeros in the empty slots", "[slots][forward]") {
  auto gate = slots_gate(ConcatGateOptions(1));
  const auto x = torch::randn({2, 4});
  gate->set_open({1});
  const Slots slots = gate->forward_slots(x);
  const auto dense = slots.dense();
  CHECK(dense.sizes() == torch::IntArrayRef({2, 6}));
  CHECK(all_zero(dense.narrow(1, 0, 1)));
  CHECK(bit_equal(dense.narrow(1, 1, 2), slots.at(1)));
  CHECK(all_zero(dense.narrow(1, 3, 3)));
}

TEST_CASE(
    "Slots: neighbouring empty slots keep a memory format each",
    "[slots][forward]") {
  const auto in_format = [](torch::MemoryFormat format) {
    return FunctionChild([format](const torch::Tensor& x) {
      return (x * 2).contiguous(format);
    });
  };
  constexpr auto kLast = torch::MemoryFormat::ChannelsLast;
  constexpr auto kFirst = torch::MemoryFormat::Contiguous;
  const bool mixed = GENERATE(true, false);
  CAPTURE(mixed);
  ConcatGate gate(
      ConcatGateOptions(1),
      in_format(kLast),
      in_format(mixed ? kFirst : kLast),
      in_format(kLast));
  const auto x = torch::randn({2, 3, 4, 5});
  const auto open = gate->forward(x);  // so that their formats are known
  CHECK(open.is_contiguous(mixed ? kFirst : kLast));
  gate->set_open({2});
  CHECK(gate->forward(x).strides() == open.strides());
}

TEST_CASE("Slots: nothing held is zeros of the whole", "[slots][forward]") {
  auto gate = slots_gate(ConcatGateOptions(1));
  gate->set_open({});
  const Slots slots = gate->forward_slots(torch::randn({2, 4}));
  CHECK(slots.positions().empty());
  CHECK(slots.values().empty());
  const auto dense = slots.dense();
  CHECK(dense.sizes() == torch::IntArrayRef({2, 6}));
  CHECK(all_zero(dense));
  CHECK_FALSE(dense.requires_grad());
}

TEST_CASE(
    "Slots: detached values of closed branches are held", "[slots][forward]") {
  auto gate = slots_gate(ConcatGateOptions(1)
                             .skip(Skip::kNoGrad)
                             .closed_value(ClosedValue::kDetached));
  const auto x = torch::randn({2, 4});
  gate->set_open({1});
  const Slots slots = gate->forward_slots(x);
  CHECK(slots.positions() == torch::IntArrayRef({0, 1, 2}));
  CHECK(bit_equal(slots.at(0), gate->branch(0).forward(x)));
  CHECK_FALSE(slots.at(0).requires_grad());
  CHECK(slots.at(1).requires_grad());
  CHECK_FALSE(slots.at(2).requires_grad());
}

TEST_CASE(
    "Slots: is a value that outlives its gate and later settings", "[slots]") {
  auto gate = slots_gate(ConcatGateOptions(1));
  gate->set_open({2});
  std::optional<Slots> slots = gate->forward_slots(torch::randn({2, 4}));
  const Slots copy = *slots;
  const auto before = copy.dense();
  gate->set_open({0, 1});
  gate->forward(torch::randn({7, 4}));
  gate->to(torch::kDouble);
  CHECK(bit_equal(copy.dense(), before));
  gate = nullptr;
  slots.reset();
  CHECK(copy.positions() == torch::IntArrayRef({2}));
  CHECK(copy.names() == std::vector<std::string>{"a", "b", "c"});
  CHECK(bit_equal(copy.dense(), before));
}

TEST_CASE("Slots: names the slot that is not there", "[slots][error]") {
  auto gate = slots_gate(ConcatGateOptions(1));
  gate->set_open({0, 2});
  const Slots slots = gate->forward_slots(torch::randn({2, 4}));
  CHECK(message_of<c10::IndexError>([&] {
          slots.holds(3);
        }) == "Slots::holds: expected a slot in [0, 3), got 3");
  CHECK(message_of<c10::IndexError>([&] {
          slots.at(-1);
        }) == "Slots::at: expected a slot in [0, 3), got -1");
  CHECK(
      message_of<c10::ValueError>([&] { slots.at(1); }) ==
      "Slots::at: expected a slot that holds a value, one of [0, 2], got "
      "branch 1 ('b')");
}
