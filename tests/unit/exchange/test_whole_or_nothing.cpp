// SPDX-License-Identifier: MIT
// Loading changes all of a network, or nothing.
#include <gatedpaths/exchange/checkpoint.hpp>
#include <gatedpaths/exchange/dense_state.hpp>
#include <gatedpaths/slots/slot_linear.hpp>

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>

#include <cmath>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::load_checked;
using gatedpaths::SlotLinear;
using gatedpaths::SlotLinearOptions;
using gatedpaths::slots_from_dense;
using gatedpaths::slots_to_dense;
using gatedpaths::StateDict;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::bit_equal;
using gatedpaths::test::copies_of;
using gatedpaths::test::message_of;
using torch::nn::Linear;

namespace {

torch::serialize::InputArchive archive_of_whole(const torch::nn::Module& net) {
  torch::serialize::OutputArchive out;
  net.save(out);
  std::stringstream stream;
  out.save_to(stream);
  torch::serialize::InputArchive in;
  in.load_from(stream);
  return in;
}

// A layer, and a buffer behind it that is as `buffer` says.
struct WithBuffer : torch::nn::Module {
  explicit WithBuffer(const torch::Tensor& buffer) {
    layer = register_module("layer", Linear(2, 3));
    auto last = std::make_shared<torch::nn::Module>();
    last->register_buffer("mean", buffer);
    register_module("last", last);
  }
  Linear layer = nullptr;
};

struct WeightLayer : torch::nn::Module {
  explicit WeightLayer(const torch::Tensor& tensor)
      : weight(register_parameter("weight", tensor)) {}
  torch::Tensor weight;
};

// Two layers of one weight, or of two.
struct Tied : torch::nn::Module {
  explicit Tied(bool tied)
      : in(register_module(
            "first", std::make_shared<WeightLayer>(torch::rand({2, 2})))),
        out(register_module(
            "second",
            std::make_shared<WeightLayer>(
                tied ? in->weight : torch::rand({2, 2})))) {}
  std::shared_ptr<WeightLayer> in;
  std::shared_ptr<WeightLayer> out;
};

std::vector<torch::Tensor> whole_state(const torch::nn::Module& net) {
  auto tensors = net.parameters();
  for (const auto& buffer : net.buffers()) {
    tensors.push_back(buffer);
  }
  return copies_of(tensors);
}

}  // namespace

TEST_CASE(
    "load_checked: a tensor that cannot be written is an error before any is",
    "[checkpoint][error]") {
  torch::manual_seed(3);
  const WithBuffer saved(torch::rand({3}));
  auto archive = archive_of_whole(saved);
  const auto refused = [&](const torch::Tensor& buffer) {
    WithBuffer net(buffer);
    const auto before = whole_state(net);
    auto message =
        message_of<c10::ValueError>([&] { load_checked(net, archive); });
    CHECK(all_bit_equal(whole_state(net), before));
    const auto dense = slots_to_dense(saved);
    CHECK_THROWS_AS(slots_from_dense(net, dense), c10::ValueError);
    CHECK(all_bit_equal(whole_state(net), before));
    return message;
  };
  CHECK(
      refused(torch::rand({1}).expand({3})) ==
      "load_checked: buffer 'last.mean': expected a tensor that can be "
      "written, got an expanded one");
  torch::Tensor inference;
  {
    const c10::InferenceMode guard;
    inference = torch::rand({3});
  }
  CHECK(
      refused(inference) ==
      "load_checked: buffer 'last.mean': expected a tensor that can be "
      "written, got an inference tensor, which is only written in inference "
      "mode");
  {
    const c10::InferenceMode guard;
    WithBuffer net(inference);
    CHECK_NOTHROW(load_checked(net, archive));
    CHECK(bit_equal(net.buffers()[0], saved.buffers()[0]));
  }
}

TEST_CASE(
    "load_checked: an untied file does not fit a tied net",
    "[checkpoint][error]") {
  torch::manual_seed(3);
  Tied untied(false);
  Tied tied(true);
  REQUIRE(tied.in->weight.is_same(tied.out->weight));
  const auto before = whole_state(tied);
  SECTION("with other values") {
    auto archive = archive_of_whole(untied);
    CHECK(
        message_of<c10::ValueError>([&] { load_checked(tied, archive); }) ==
        "load_checked: parameter 'second.weight': expected the values of "
        "'first.weight', which is the same tensor in the network, got others");
    CHECK(all_bit_equal(whole_state(tied), before));
    CHECK(
        message_of<c10::ValueError>(
            [&] { slots_from_dense(tied, slots_to_dense(untied)); }) ==
        "slots_from_dense: tensor 'second.weight': expected the values of "
        "'first.weight', which is the same tensor in the network, got others");
    CHECK(all_bit_equal(whole_state(tied), before));
  }
  SECTION("with equal values, NaN among them") {
    const torch::NoGradGuard no_grad;
    untied.in->weight[0][0] = NAN;
    untied.out->weight.copy_(untied.in->weight);
    auto archive = archive_of_whole(untied);
    load_checked(tied, archive);
    CHECK(bit_equal(tied.in->weight, untied.in->weight));
    CHECK(tied.in->weight.is_same(tied.out->weight));
    slots_from_dense(tied, slots_to_dense(untied));
    CHECK(bit_equal(tied.in->weight, untied.in->weight));
  }
}

TEST_CASE(
    "load_checked: a tied file gives an untied net the value twice",
    "[checkpoint]") {
  torch::manual_seed(3);
  const Tied tied(true);
  Tied untied(false);
  auto archive = archive_of_whole(tied);
  load_checked(untied, archive);
  CHECK(bit_equal(untied.in->weight, tied.in->weight));
  CHECK(bit_equal(untied.out->weight, tied.in->weight));
  const torch::NoGradGuard no_grad;
  untied.in->weight.zero_();
  CHECK(bit_equal(untied.out->weight, tied.in->weight));
}

TEST_CASE(
    "slots_to_dense: a snapshot brings all of a network back",
    "[dense_state]") {
  torch::manual_seed(3);
  torch::nn::Sequential net(
      Linear(4, 5),
      SlotLinear(SlotLinearOptions({2, 3}, 4)),
      SlotLinear(SlotLinearOptions({4}, 2)),
      torch::nn::BatchNorm1d(2));
  const auto before = whole_state(*net);
  const StateDict snapshot = slots_to_dense(net);
  StateDict own;
  for (const auto& item : net->named_parameters()) {
    own.insert(item.key(), item.value());
  }
  const StateDict joined = gatedpaths::join_slots(net, own);
  const StateDict split = gatedpaths::split_slots(net, snapshot);
  {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : net->parameters()) {
      parameter.add_(1);
    }
    for (auto& buffer : net->buffers()) {
      buffer.add_(1);
    }
    for (const auto& item : split) {
      torch::Tensor(item.value()).add_(5);  // of no one else
    }
  }
  for (const auto& item : joined) {
    CHECK(bit_equal(item.value(), snapshot[item.key()]));
  }
  slots_from_dense(net, snapshot);
  CHECK(all_bit_equal(whole_state(*net), before));
}

TEST_CASE(
    "slots_from_dense: values may be tensors of the network itself",
    "[dense_state]") {
  torch::manual_seed(3);
  torch::nn::Sequential net({{"a", Linear(2, 2)}, {"b", Linear(2, 2)}});
  const auto parameters = net->named_parameters();
  const auto old = copies_of(net->parameters());
  StateDict swapped;
  swapped.insert("a.weight", parameters["b.weight"]);
  swapped.insert("a.bias", parameters["b.bias"]);
  swapped.insert("b.weight", parameters["a.weight"]);
  swapped.insert("b.bias", parameters["a.bias"]);
  slots_from_dense(net, swapped);
  const auto now = net->parameters();
  CHECK(bit_equal(now[0], old[2]));
  CHECK(bit_equal(now[1], old[3]));
  CHECK(bit_equal(now[2], old[0]));
  CHECK(bit_equal(now[3], old[1]));
}
