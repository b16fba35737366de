// SPDX-License-Identifier: MIT
// What recalibrate_batch_norm refuses, and leaves as it was.
#include <gatedpaths/training/recalibrate_batch_norm.hpp>

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::recalibrate_batch_norm;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::copies_of;
using gatedpaths::test::message_of;
using torch::nn::BatchNorm1d;
using torch::nn::Dropout;
using torch::nn::Sequential;

namespace {

std::vector<torch::Tensor> fault_batches() {
  torch::manual_seed(4);
  return {torch::randn({8, 3}), torch::randn({5, 3}) + 1};
}

// After 50 training batches.
BatchNorm1d norm_after_50() {
  BatchNorm1d norm(3);
  norm->running_mean.add_(0.5);
  norm->num_batches_tracked.fill_(50);
  return norm;
}

}  // namespace

TEST_CASE(
    "recalibrate_batch_norm: the count of training batches stays",
    "[recalibrate_batch_norm]") {
  auto norm = norm_after_50();
  auto average = norm_after_50();
  average->options.momentum(std::nullopt);
  Sequential net(norm, average);
  CHECK(recalibrate_batch_norm(net, fault_batches()) == 2);
  CHECK(norm->num_batches_tracked.item<int64_t>() == 50);
  // The next batch counts as a third of a cumulative average.
  CHECK(average->num_batches_tracked.item<int64_t>() == 2);
}

TEST_CASE(
    "recalibrate_batch_norm: statistics that cannot be written are an error "
    "before any is reset",
    "[recalibrate_batch_norm][error]") {
  auto first = norm_after_50();
  auto second = norm_after_50();
  const bool expanded = GENERATE(true, false);
  if (expanded) {
    second->running_var.set_data(torch::ones({1}).expand({3}));
  } else {
    const c10::InferenceMode guard;
    second->running_mean = torch::zeros({3});
  }
  Sequential net(first, second);
  const auto before = copies_of(first->buffers());
  CHECK(
      message_of<c10::ValueError>(
          [&] { recalibrate_batch_norm(net, fault_batches()); }) ==
      std::string("recalibrate_batch_norm: expected statistics that can be "
                  "written, got an ") +
          (expanded ? "expanded" : "inference") + " tensor in norm '1'");
  CHECK(all_bit_equal(first->buffers(), before));
  CHECK(first->options.momentum() == 0.1);
  CHECK(net->is_training());
}

TEST_CASE(
    "recalibrate_batch_norm: a run that changes modes is an error",
    "[recalibrate_batch_norm][error]") {
  auto norm = norm_after_50();
  Sequential net(norm, Dropout(0.5));
  const auto before = copies_of(net->buffers());
  const auto message = [&](auto change, auto change_back) {
    auto text = message_of<c10::ValueError>([&] {
      recalibrate_batch_norm(
          net, fault_batches(), [&](const torch::Tensor& batch) {
            change();
            net->forward(batch);
            change_back();
          });
    });
    CHECK(all_bit_equal(net->buffers(), before));
    CHECK(norm->options.momentum() == 0.1);
    CHECK(net->is_training());
    CHECK(norm->is_training());
    return text;
  };
  const std::string start =
      "recalibrate_batch_norm: expected `run` to leave the modes of modules as "
      "they are, got '";
  CHECK(
      message([&] { net->eval(); }, [] {}) ==
      start + "0' in eval mode after batch 0");
  CHECK(
      message([&] { net->train(); }, [] {}) ==
      start + ".' in training mode after batch 0");
  CHECK(
      message([&] { norm->eval(); }, [&] { norm->train(); }) ==
      "recalibrate_batch_norm: expected `run` to run norms of `root` in "
      "training mode, got none that ran of 1");
  CHECK(
      message_of<c10::ValueError>([&] {
        recalibrate_batch_norm(
            net, fault_batches(), [](const torch::Tensor&) {});
      }) ==
      "recalibrate_batch_norm: expected `run` to run norms of `root` in "
      "training mode, got none that ran of 1");
  CHECK(all_bit_equal(net->buffers(), before));
  Sequential without(torch::nn::Linear(3, 2));
  CHECK(recalibrate_batch_norm(without, fault_batches()) == 0);
}

TEST_CASE(
    "recalibrate_batch_norm: a part as root leaves a rest in eval alone",
    "[recalibrate_batch_norm]") {
  auto first = norm_after_50();
  auto second = norm_after_50();
  Sequential net(first, second);
  first->eval();
  const auto before = copies_of(first->buffers());
  CHECK(
      recalibrate_batch_norm(
          second, fault_batches(), [&](const torch::Tensor& batch) {
            net->forward(batch);
          }) == 1);
  CHECK(all_bit_equal(first->buffers(), before));
  CHECK_FALSE(all_bit_equal(second->buffers(), before));
}

TEST_CASE(
    "recalibrate_batch_norm: a part of a network is measured with the rest in "
    "eval mode",
    "[recalibrate_batch_norm]") {
  auto first = norm_after_50();
  auto second = norm_after_50();
  Sequential net(first, Dropout(0.5), second, Dropout(0.5));
  second->eval();
  const auto before = copies_of(first->buffers());
  std::vector<torch::Tensor> inputs;  // what the part gets
  for (const auto& batch : fault_batches()) {
    const torch::NoGradGuard no_grad;
    first->eval();
    inputs.push_back(first->forward(batch));
    first->train();
  }
  auto alone = norm_after_50();
  REQUIRE(recalibrate_batch_norm(alone, inputs) == 1);

  CHECK(
      recalibrate_batch_norm(
          net, second, fault_batches(), [&](const torch::Tensor& batch) {
            CHECK_FALSE(first->is_training());
            net->forward(batch);
          }) == 1);
  CHECK(all_bit_equal(first->buffers(), before));
  CHECK(all_bit_equal(second->buffers(), copies_of(alone->buffers())));
  CHECK(net->is_training());
  CHECK(first->is_training());
  CHECK_FALSE(second->is_training());
}

TEST_CASE(
    "recalibrate_batch_norm: a part has to be one of the network, and to run",
    "[recalibrate_batch_norm][error]") {
  auto first = norm_after_50();
  auto second = norm_after_50();
  Sequential net(first, second);
  auto other = norm_after_50();
  const auto before = copies_of(net->buffers());
  const auto message = [&](const BatchNorm1d& part, auto run) {
    return message_of<c10::ValueError>(
        [&] { recalibrate_batch_norm(net, part, fault_batches(), run); });
  };
  const auto run_net = [&](const torch::Tensor& batch) { net->forward(batch); };
  CHECK(
      message(other, run_net) ==
      "recalibrate_batch_norm: expected `part` to be a module of the network "
      "'torch::nn::SequentialImpl', got another one, "
      "'torch::nn::BatchNorm1dImpl'");
  CHECK(
      message(nullptr, run_net) ==
      "recalibrate_batch_norm: expected a network, got none");
  CHECK(
      message(
          second, [&](const torch::Tensor& batch) { first->forward(batch); }) ==
      "recalibrate_batch_norm: expected `run` to run norms of `part` in "
      "training mode, got none that ran of 1");
  CHECK(all_bit_equal(net->buffers(), before));
  // Its mode is that of the network during this.
  CHECK_THAT(
      message(
          second,
          [&](const torch::Tensor& batch) {
            first->train();
            net->forward(batch);
          }),
      Catch::Matchers::EndsWith("got '0' in training mode after batch 0"));
  CHECK(net->is_training());
}

TEST_CASE(
    "recalibrate_batch_norm: inputs that are not finite are an error",
    "[recalibrate_batch_norm][error]") {
  const float value = GENERATE(NAN, std::numeric_limits<float>::infinity());
  auto first = norm_after_50();
  auto second = norm_after_50();
  Sequential net(first, second);
  const auto before = copies_of(net->buffers());
  auto batches = fault_batches();
  batches[1][2][1] = value;
  CHECK(
      message_of<c10::ValueError>(
          [&] { recalibrate_batch_norm(net, batches); }) ==
      "recalibrate_batch_norm: expected finite inputs, got a mean or variance "
      "that is inf or nan in norm '0' after 2 batches");
  CHECK(all_bit_equal(net->buffers(), before));
  CHECK(first->options.momentum() == 0.1);
}
