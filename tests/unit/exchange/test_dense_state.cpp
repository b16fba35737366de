// SPDX-License-Identifier: MIT
#include <gatedpaths/exchange/dense_state.hpp>

#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/slots/slot_batch_norm.hpp>
#include <gatedpaths/slots/slot_conv.hpp>
#include <gatedpaths/slots/slot_linear.hpp>

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/slot_layers.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::join_slots;
using gatedpaths::SlotBatchNorm2d;
using gatedpaths::SlotBatchNormOptions;
using gatedpaths::SlotConv2d;
using gatedpaths::SlotConvOptions;
using gatedpaths::SlotLinear;
using gatedpaths::SlotLinearOptions;
using gatedpaths::slots_from_dense;
using gatedpaths::slots_to_dense;
using gatedpaths::split_slots;
using gatedpaths::StateDict;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::all_zero;
using gatedpaths::test::bit_equal;
using gatedpaths::test::copies_of;
using gatedpaths::test::largest_difference;
using gatedpaths::test::message_of;
using gatedpaths::test::open_sets;
using gatedpaths::test::Tensors;

namespace {

ConcatGate<> state_gate() {
  return {
      ConcatGateOptions(1),
      {{"a", torch::nn::Conv2d(3, 2, 3)},
       {"b", torch::nn::Conv2d(3, 4, 3)},
       {"c", torch::nn::Conv2d(3, 1, 3)}}};
}
const std::vector<int64_t> kStateChannels = {2, 4, 1};

// norm, conv -> slots, dense
struct SlotBody : torch::nn::Module {
  SlotBody() {
    gate = register_module("gate", state_gate());
    norm = register_module(
        "norm", SlotBatchNorm2d(SlotBatchNormOptions(kStateChannels, 7)));
    conv = register_module(
        "conv",
        SlotConv2d(SlotConvOptions<2>(
            kStateChannels, torch::nn::Conv2dOptions(7, 5, 2))));
    fc = register_module("fc", SlotLinear(SlotLinearOptions({8, 16, 4}, 5)));
  }
  torch::Tensor forward(const torch::Tensor& x) {
    const auto slots = norm->forward(gate->forward_slots(x));
    return conv->forward(slots).sum({2, 3}) + fc->forward(slots.flatten());
  }
  ConcatGate<> gate = nullptr;
  SlotBatchNorm2d norm = nullptr;
  SlotConv2d conv = nullptr;
  SlotLinear fc = nullptr;
};

struct DenseBody : torch::nn::Module {
  DenseBody() {
    gate = register_module("gate", state_gate());
    norm = register_module("norm", torch::nn::BatchNorm2d(7));
    conv = register_module("conv", torch::nn::Conv2d(7, 5, 2));
    fc = register_module("fc", torch::nn::Linear(28, 5));
  }
  torch::Tensor forward(const torch::Tensor& x) {
    const auto dense = norm->forward(gate->forward(x));
    return conv->forward(dense).sum({2, 3}) + fc->forward(dense.flatten(1));
  }
  ConcatGate<> gate = nullptr;
  torch::nn::BatchNorm2d norm = nullptr;
  torch::nn::Conv2d conv = nullptr;
  torch::nn::Linear fc = nullptr;
};

// The body two levels down, between plain layers, with tensors of its own.
template <class Body>
struct StateNet : torch::nn::Module {
  StateNet() {
    stem = register_module("stem", torch::nn::Conv2d(3, 3, 1));
    auto inner = std::make_shared<torch::nn::Module>();
    body = inner->register_module("body", std::make_shared<Body>());
    register_module("inner", inner);
    head = register_module("head", torch::nn::Linear(5, 2));
    scale = register_parameter("scale", torch::rand({1}));
    mean = register_buffer("mean", torch::rand({1}));
  }
  torch::Tensor forward(const torch::Tensor& x) {
    return head->forward(body->forward(stem->forward(x - mean))) * scale;
  }
  torch::nn::Conv2d stem = nullptr;
  std::shared_ptr<Body> body;
  torch::nn::Linear head = nullptr;
  torch::Tensor scale;
  torch::Tensor mean;
};
using SlotNet = StateNet<SlotBody>;
using DenseNet = StateNet<DenseBody>;

const std::vector<int64_t> kStateImage = {4, 3, 4, 4};

// With statistics that are not those of a fresh net.
template <class Net>
std::shared_ptr<Net> trained_net() {
  torch::manual_seed(1);
  auto net = std::make_shared<Net>();
  for (int i = 0; i < 3; ++i) {
    net->forward(torch::randn(kStateImage));
  }
  return net;
}

StateDict state_of(const torch::nn::Module& net) {
  StateDict state;
  for (const auto& item : net.named_parameters()) {
    state.insert(item.key(), item.value().detach().clone());
  }
  for (const auto& item : net.named_buffers()) {
    state.insert(item.key(), item.value().clone());
  }
  return state;
}

// Both in the order of the first one's names.
bool same_state(const StateDict& a, const StateDict& b) {
  bool same = a.size() == b.size();
  for (const auto& item : a) {
    const auto* other = b.find(item.key());
    same = same && other != nullptr && bit_equal(item.value(), *other);
  }
  return same;
}

Tensors state_tensors(const torch::nn::Module& net) {
  return state_of(net).values();
}

// A copy of `state` without `without`, and with what is in `more`.
StateDict changed(
    const StateDict& state,
    const std::vector<std::string>& without,
    const std::vector<std::pair<std::string, torch::Tensor>>& more) {
  StateDict result;
  for (const auto& item : state) {
    if (std::find(without.begin(), without.end(), item.key()) ==
        without.end()) {
      result.insert(item.key(), item.value());
    }
  }
  for (const auto& [name, tensor] : more) {
    result.insert(name, tensor);
  }
  return result;
}

}  // namespace

TEST_CASE(
    "slots_to_dense: has the dense network's names and shapes",
    "[dense_state]") {
  const SlotNet slots;
  const DenseNet dense;
  const StateDict actual = slots_to_dense(slots);
  const StateDict expected = state_of(dense);
  CHECK(actual.size() == expected.size());
  for (const auto& item : expected) {
    CAPTURE(item.key());
    REQUIRE(actual.contains(item.key()));
    CHECK(actual[item.key()].sizes() == item.value().sizes());
    CHECK(actual[item.key()].scalar_type() == item.value().scalar_type());
  }
}

TEST_CASE(
    "slots_from_dense: gives the dense network's outputs", "[dense_state]") {
  const auto dense = trained_net<DenseNet>();
  SlotNet slots;
  slots_from_dense(slots, state_of(*dense));
  CHECK(same_state(slots_to_dense(slots), state_of(*dense)));
  slots.eval();
  dense->eval();
  const auto x = torch::randn(kStateImage);
  // In eval a norm gives a closed slot its bias in the dense form alone, so
  // only the full set is the same; without the norms' shift every set is.
  CHECK(largest_difference(slots.forward(x), dense->forward(x)) < 1e-5);
  {
    const torch::NoGradGuard no_grad;
    dense->body->norm->running_mean.zero_();
  }
  slots_from_dense(slots, state_of(*dense));
  for (const auto& open : open_sets(3)) {
    CAPTURE(open);
    dense->body->gate->set_open(open);
    slots.body->gate->set_open(open);
    CHECK(largest_difference(slots.forward(x), dense->forward(x)) < 1e-5);
  }
}

TEST_CASE("slots_to_dense: a dense network can load it", "[dense_state]") {
  const auto slots = trained_net<SlotNet>();
  const StateDict state = slots_to_dense(*slots);
  DenseNet dense;
  {
    const torch::NoGradGuard no_grad;
    for (auto& item : dense.named_parameters()) {
      item.value().copy_(state[item.key()]);
    }
    for (auto& item : dense.named_buffers()) {
      item.value().copy_(state[item.key()]);
    }
  }
  dense.eval();
  slots->eval();
  const auto x = torch::randn(kStateImage);
  CHECK(largest_difference(slots->forward(x), dense.forward(x)) < 1e-5);
}

TEST_CASE("slots_to_dense: comes back bit for bit", "[dense_state]") {
  const auto slots = trained_net<SlotNet>();
  SlotNet copy;
  slots_from_dense(copy, slots_to_dense(*slots));
  CHECK(all_bit_equal(state_tensors(copy), state_tensors(*slots)));
  for (const auto& parameter : copy.parameters()) {
    CHECK(parameter.requires_grad());
    CHECK(parameter.is_leaf());
  }
  SECTION("into itself") {
    const auto before = copies_of(state_tensors(*slots));
    slots_from_dense(*slots, slots_to_dense(*slots));
    CHECK(all_bit_equal(state_tensors(*slots), before));
  }
}

TEST_CASE(
    "slots_to_dense: has no graph, and the furthest counter", "[dense_state]") {
  const auto slots = trained_net<SlotNet>();
  slots->body->gate->set_open({1});
  slots->forward(torch::randn(kStateImage));
  const StateDict state = slots_to_dense(*slots);
  for (const auto& item : state) {
    CAPTURE(item.key());
    CHECK_FALSE(item.value().requires_grad());
  }
  CHECK(state["inner.body.norm.num_batches_tracked"].item<int64_t>() == 4);
}

TEST_CASE(
    "slots_to_dense: takes a layer alone, and one of a single slot",
    "[dense_state]") {
  SlotLinear layer(SlotLinearOptions({2, 3}, 4));
  const auto state = slots_to_dense(*layer);
  CHECK(state.keys() == std::vector<std::string>{"weight", "bias"});
  CHECK(bit_equal(state["weight"], layer->to_dense()->weight));

  SlotLinear single(SlotLinearOptions({5}, 4));
  slots_from_dense(*single, state);
  CHECK(bit_equal(single->weights[0], state["weight"]));
  CHECK(slots_to_dense(*single).keys() == state.keys());
}

TEST_CASE(
    "slots_to_dense: takes norms without weights or statistics",
    "[dense_state]") {
  torch::nn::BatchNormOptions options(3);
  SECTION("without weights") {
    SlotBatchNorm2d norm(SlotBatchNormOptions({1, 2}, options.affine(false)));
    CHECK(
        slots_to_dense(*norm).keys() ==
        std::vector<std::string>{
            "running_mean", "running_var", "num_batches_tracked"});
  }
  SECTION("without statistics") {
    SlotBatchNorm2d norm(
        SlotBatchNormOptions({1, 2}, options.track_running_stats(false)));
    CHECK(
        slots_to_dense(*norm).keys() ==
        std::vector<std::string>{"weight", "bias"});
  }
}

TEST_CASE("slots_from_dense: takes tensors of another dtype", "[dense_state]") {
  SlotLinear layer(SlotLinearOptions({2, 3}, 4));
  StateDict state;
  state.insert("weight", torch::randn({4, 5}, torch::kDouble));
  state.insert("bias", torch::randn({4}, torch::kDouble).requires_grad_());
  slots_from_dense(*layer, state);
  CHECK(layer->weights[1].scalar_type() == torch::kFloat);
  CHECK(bit_equal(
      torch::cat(layer->weights, 1), state["weight"].to(torch::kFloat)));
  CHECK(bit_equal(layer->bias, state["bias"].to(torch::kFloat)));
  CHECK(layer->bias.is_leaf());
}

TEST_CASE(
    "slots_from_dense: names all that does not fit and changes nothing",
    "[dense_state][error]") {
  const auto slots = trained_net<SlotNet>();
  const auto before = copies_of(state_tensors(*slots));
  const StateDict good = state_of(*trained_net<DenseNet>());
  const auto message = [&](const StateDict& state) {
    return message_of<c10::ValueError>(
        [&] { slots_from_dense(*slots, state); });
  };
  CHECK(
      message(changed(good, {"inner.body.fc.weight"}, {})) ==
      "slots_from_dense: missing 'inner.body.fc.weight'");
  CHECK(
      message(changed(good, {"scale"}, {{"scale", torch::Tensor()}})) ==
      "slots_from_dense: missing 'scale'");
  CHECK(
      message(changed(good, {}, {{"extra", torch::ones({1})}})) ==
      "slots_from_dense: unexpected 'extra'");
  CHECK(
      message(changed(
          good,
          {"inner.body.conv.weight"},
          {{"inner.body.conv.weight", torch::ones({5, 6, 2, 2})}})) ==
      "slots_from_dense: tensor 'inner.body.conv.weight': expected [5, 7, 2, "
      "2], got [5, 6, 2, 2]");
  CHECK(
      message(changed(
          good,
          {"head.bias", "stem.bias"},
          {{"head.bias", torch::ones({3})},
           {"inner.body.fc.weight_0", torch::ones({5, 8})}})) ==
      "slots_from_dense: tensor 'head.bias': expected [2], got [3]; missing "
      "'stem.bias'; unexpected 'inner.body.fc.weight_0'");
  CHECK(all_bit_equal(state_tensors(*slots), before));
}

// ---- tensors that go with the network's ----

TEST_CASE("join_slots: joins as slots_to_dense does", "[dense_state]") {
  const auto slots = trained_net<SlotNet>();
  CHECK(
      same_state(join_slots(*slots, state_of(*slots)), slots_to_dense(*slots)));
}

TEST_CASE("join_slots: comes back bit for bit", "[dense_state]") {
  const auto slots = trained_net<SlotNet>();
  const StateDict state = state_of(*slots);
  const StateDict back = split_slots(*slots, join_slots(*slots, state));
  CHECK(same_state(state, back));
  const StateDict dense = state_of(*trained_net<DenseNet>());
  CHECK(same_state(dense, join_slots(*slots, split_slots(*slots, dense))));
}

TEST_CASE(
    "join_slots: zeros stand for what is left out of a tensor",
    "[dense_state]") {
  const SlotNet slots;
  StateDict momentum;
  momentum.insert("inner.body.fc.weight_1", torch::randn({5, 16}));
  momentum.insert("inner.body.fc.weight_2", torch::Tensor());
  momentum.insert("inner.body.conv.bias", torch::Tensor());
  momentum.insert("head.weight", torch::randn({2, 5}).requires_grad_());
  const StateDict dense = join_slots(slots, momentum);
  REQUIRE(dense.size() == 2);
  const auto weight = dense["inner.body.fc.weight"];
  REQUIRE(weight.sizes() == c10::IntArrayRef({5, 28}));
  CHECK(all_zero(weight.narrow(1, 0, 8)));
  CHECK(bit_equal(weight.narrow(1, 8, 16), momentum["inner.body.fc.weight_1"]));
  CHECK(all_zero(weight.narrow(1, 24, 4)));
  CHECK(bit_equal(dense["head.weight"], momentum["head.weight"].detach()));
  CHECK_FALSE(dense["head.weight"].requires_grad());
  CHECK(join_slots(slots, StateDict()).is_empty());
}

TEST_CASE(
    "join_slots: takes another dtype, and the largest counter",
    "[dense_state]") {
  const SlotNet slots;
  const std::string norm = "inner.body.norm.";
  StateDict tensors;
  tensors.insert(norm + "2.weight", torch::randn({1}, torch::kDouble));
  for (const int64_t slot : {0, 2}) {
    tensors.insert(
        norm + std::to_string(slot) + ".num_batches_tracked",
        torch::tensor(7 - slot));
  }
  const StateDict dense = join_slots(slots, tensors);
  REQUIRE(dense.size() == 2);
  CHECK(dense[norm + "weight"].scalar_type() == torch::kDouble);
  CHECK(dense[norm + "num_batches_tracked"].item<int64_t>() == 7);
}

TEST_CASE("split_slots: cuts what is there", "[dense_state]") {
  const SlotNet slots;
  const auto before = copies_of(state_tensors(slots));
  const std::string body = "inner.body.";
  StateDict dense;
  dense.insert(body + "conv.weight", torch::randn({5, 7, 2, 2}));
  dense.insert(body + "conv.bias", torch::Tensor());
  dense.insert(body + "norm.num_batches_tracked", torch::tensor(int64_t{3}));
  dense.insert("scale", torch::ones({1}).requires_grad_());
  const StateDict tensors = split_slots(slots, dense);
  REQUIRE(tensors.size() == 7);
  const auto weight = dense[body + "conv.weight"];
  CHECK(bit_equal(tensors[body + "conv.weight_1"], weight.narrow(1, 2, 4)));
  CHECK(bit_equal(tensors[body + "conv.weight_0"], weight.narrow(1, 0, 2)));
  for (const auto* slot : {"0", "1", "2"}) {
    const auto name = body + "norm." + slot + ".num_batches_tracked";
    CHECK(tensors[name].item<int64_t>() == 3);
  }
  CHECK_FALSE(tensors["scale"].requires_grad());
  CHECK(split_slots(slots, StateDict()).is_empty());
  CHECK(all_bit_equal(state_tensors(slots), before));
}

TEST_CASE(
    "split_slots: a momentum that is carried over makes the dense step",
    "[dense_state]") {
  torch::manual_seed(2);
  SlotLinear layer(SlotLinearOptions({2, 3}, 4));
  const auto dense = layer->to_dense();
  StateDict momentum;
  momentum.insert("weight_1", torch::randn({4, 3}));  // slot 0: never open
  const auto joined = join_slots(*layer, momentum)["weight"];
  const auto step = [](torch::Tensor weight, const torch::Tensor& buffer) {
    torch::optim::SGD sgd(
        {weight}, torch::optim::SGDOptions(0.1).momentum(0.9));
    if (buffer.defined()) {
      auto state = std::make_unique<torch::optim::SGDParamState>();
      state->momentum_buffer(buffer.clone());
      sgd.state()[weight.unsafeGetTensorImpl()] = std::move(state);
    }
    sgd.step();
  };
  const auto gradient = torch::randn({4, 5});
  dense->weight.mutable_grad() = gradient;
  layer->weights[0].mutable_grad() = gradient.narrow(1, 0, 2);
  layer->weights[1].mutable_grad() = gradient.narrow(1, 2, 3);
  step(dense->weight, joined);
  step(layer->weights[0], torch::Tensor());
  step(layer->weights[1], momentum["weight_1"]);
  CHECK(bit_equal(layer->to_dense()->weight.detach(), dense->weight.detach()));
}

TEST_CASE("join_slots: names all that does not fit", "[dense_state][error]") {
  SlotLinear layer(SlotLinearOptions({2, 3}, 4));
  StateDict tensors;
  tensors.insert("weight_1", torch::ones({4, 2}));
  tensors.insert("weight", torch::ones({4, 5}));
  tensors.insert("bias", torch::ones({4}));
  CHECK(
      message_of<c10::ValueError>([&] { join_slots(*layer, tensors); }) ==
      "join_slots: tensor 'weight_1': expected [4, 3], got [4, 2]; unexpected "
      "'weight'");
}

TEST_CASE("split_slots: names all that does not fit", "[dense_state][error]") {
  SlotLinear layer(SlotLinearOptions({2, 3}, 4));
  StateDict tensors;
  tensors.insert("weight", torch::ones({4, 6}));
  tensors.insert("weight_1", torch::ones({4, 3}));
  CHECK(
      message_of<c10::ValueError>([&] { split_slots(*layer, tensors); }) ==
      "split_slots: tensor 'weight': expected [4, 5], got [4, 6]; unexpected "
      "'weight_1'");
}
