// SPDX-License-Identifier: MIT
#include <gatedpaths/depth/stochastic_depth.hpp>
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/slots/slot_batch_norm.hpp>
#include <gatedpaths/training/recalibrate_batch_norm.hpp>

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/counting_child.hpp"
#include "support/errors.hpp"
#include "support/fake_gate.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::ChoiceBlockOptions;
using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::DrawState;
using gatedpaths::DropScale;
using gatedpaths::GatedBranch;
using gatedpaths::recalibrate_batch_norm;
using gatedpaths::Skip;
using gatedpaths::SlotBatchNorm1d;
using gatedpaths::StochasticDepth;
using gatedpaths::StochasticDepthOptions;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::bit_equal;
using gatedpaths::test::copies_of;
using gatedpaths::test::FunctionChild;
using gatedpaths::test::gradients_of;
using gatedpaths::test::holder;
using gatedpaths::test::largest_difference;
using gatedpaths::test::message_of;
using gatedpaths::test::none_defined;
using gatedpaths::test::random_stream;
using torch::nn::BatchNorm1d;
using torch::nn::BatchNormOptions;
using torch::nn::Dropout;
using torch::nn::Linear;
using torch::nn::Sequential;

namespace {

using Batches = std::vector<torch::Tensor>;

// Batches of different sizes.
Batches norm_batches(int64_t features = 3) {
  torch::manual_seed(1);
  return {
      torch::randn({8, features}),
      2 * torch::randn({5, features}) + 1,
      torch::randn({16, features}) - 3};
}

// A norm that has seen other data.
BatchNorm1d used_norm(int64_t features = 3) {
  BatchNorm1d norm(features);
  for (int i = 0; i < 3; ++i) {
    norm->forward(torch::randn({6, features}) + 5);
  }
  return norm;
}

torch::Tensor mean_over_batches(
    const Batches& batches, bool variance, int64_t features = 3) {
  auto sum = torch::zeros({features}, torch::kDouble);
  for (const auto& batch : batches) {
    const auto rows = batch.detach()
                          .to(torch::kDouble)
                          .transpose(0, 1)
                          .reshape({features, -1});
    sum += variance ? rows.var(1, /*unbiased=*/true) : rows.mean(1);
  }
  return sum / static_cast<double>(batches.size());
}

template <class Norm>
void check_measured(
    const Norm& norm, const Batches& inputs, int64_t features = 3) {
  CHECK(
      largest_difference(
          norm->running_mean, mean_over_batches(inputs, false, features)) <
      1e-5);
  CHECK(
      largest_difference(
          norm->running_var, mean_over_batches(inputs, true, features)) < 1e-5);
}

// Keeps what passes through.
FunctionChild norm_tap(Batches& seen) {
  return FunctionChild([&seen](const torch::Tensor& x) {
    seen.push_back(x);
    return x;
  });
}

}  // namespace

TEST_CASE(
    "recalibrate_batch_norm: the statistics are means over the batches",
    "[recalibrate_batch_norm]") {
  const auto check = [](auto norm, const Batches& batches) {
    norm->forward(batches[0] + 7);
    Sequential net(norm);
    CHECK(recalibrate_batch_norm(net, batches) == 1);
    check_measured(norm, batches);
  };
  torch::manual_seed(1);
  check(BatchNorm1d(3), norm_batches());
  check(
      torch::nn::BatchNorm2d(3),
      {torch::randn({4, 3, 2, 2}), torch::randn({2, 3, 5, 1}) - 2});
  check(
      torch::nn::BatchNorm3d(3),
      {torch::randn({4, 3, 2, 2, 2}), torch::randn({2, 3, 5, 1, 3}) - 2});
}

TEST_CASE(
    "recalibrate_batch_norm: a norm behind another is measured on what it "
    "sees, whatever the mode was",
    "[recalibrate_batch_norm]") {
  const bool training = GENERATE(true, false);
  CAPTURE(training);
  Batches first_seen;
  Batches second_seen;
  auto first = used_norm();
  auto second = used_norm(4);
  Dropout drop(0.5);
  Linear linear(3, 4);
  Sequential net(
      norm_tap(first_seen), first, drop, linear, norm_tap(second_seen), second);
  net->train(training);
  const auto batches = norm_batches();
  const auto stream = random_stream();
  CHECK(recalibrate_batch_norm(net, batches) == 2);
  CHECK(bit_equal(random_stream(), stream));
  CHECK(first_seen.size() == 3);
  check_measured(first, first_seen);
  check_measured(second, second_seen, 4);
  // Norms in training mode, dropout in eval mode.
  for (size_t i = 0; i < batches.size(); ++i) {
    const auto& x = batches[i];
    const auto centred = (x - x.mean(0)) / (x.var(0, false) + 1e-5).sqrt();
    CHECK(largest_difference(second_seen[i], linear->forward(centred)) < 1e-5);
    CHECK_FALSE(second_seen[i].requires_grad());
  }
}

TEST_CASE(
    "recalibrate_batch_norm: modes, momentum and weights are left as they were",
    "[recalibrate_batch_norm]") {
  auto first = used_norm();
  auto second = used_norm();
  auto third = used_norm();
  second->eval();
  third->options.momentum(std::nullopt);
  first->options.momentum(0.3);
  Dropout drop(0.5);
  drop->eval();
  Linear linear(3, 3);
  GatedBranch inner(Sequential(second, drop));
  Sequential net(first, inner, linear, third);
  const auto parameters = copies_of(net->parameters());
  recalibrate_batch_norm(net, norm_batches());
  CHECK(net->is_training());
  CHECK(first->is_training());
  CHECK(inner->is_training());
  CHECK_FALSE(second->is_training());
  CHECK_FALSE(drop->is_training());
  CHECK(linear->is_training());
  CHECK(first->options.momentum() == 0.3);
  CHECK(second->options.momentum() == 0.1);
  CHECK_FALSE(third->options.momentum().has_value());
  CHECK(all_bit_equal(net->parameters(), parameters));
  CHECK(none_defined(gradients_of(*net)));
  CHECK(c10::GradMode::is_enabled());
}

TEST_CASE(
    "recalibrate_batch_norm: norms in closed branches are left alone",
    "[recalibrate_batch_norm]") {
  const bool track = GENERATE(true, false);
  const auto skip =
      track ? Skip::kNoGrad : GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  CAPTURE(track, skip);
  auto open = used_norm();
  auto closed = used_norm();
  auto inner_open = used_norm();
  auto inner_closed = used_norm();
  ChoiceBlock inner({{"a", inner_open}, {"b", inner_closed}});
  ChoiceBlock block(
      ChoiceBlockOptions().skip(skip).track_statistics(track).max_open(2),
      {{"open", Sequential(open, inner)}, {"closed", Sequential(closed)}});
  block->set_open({0});
  const auto before = copies_of(closed->buffers());
  const auto inner_before = copies_of(inner_closed->buffers());
  const auto batches = norm_batches();
  CHECK(recalibrate_batch_norm(block, batches) == 2);
  check_measured(open, batches);
  CHECK(inner_open->num_batches_tracked.item<int64_t>() == 3);
  CHECK(all_bit_equal(closed->buffers(), before));
  CHECK(all_bit_equal(inner_closed->buffers(), inner_before));

  block->select("closed");
  const auto kept = copies_of(open->buffers());
  CHECK(recalibrate_batch_norm(block, batches) == 1);
  check_measured(closed, batches);
  CHECK(all_bit_equal(open->buffers(), kept));
}

TEST_CASE(
    "recalibrate_batch_norm: what was applied is open, not what was drawn",
    "[recalibrate_batch_norm]") {
  auto a = used_norm();
  auto b = used_norm();
  ChoiceBlock block({{"a", a}, {"b", b}});
  block->select("a");
  block->draw_each_forward(3);
  while (!block->is_open("b")) {
    block->forward(torch::randn({4, 3}));
  }
  const auto state = block->draw_state();
  const auto before = copies_of(b->buffers());
  const auto batches = norm_batches();
  CHECK(block->applied_branches() == c10::IntArrayRef({0}));
  CHECK(recalibrate_batch_norm(block, batches) == 1);
  check_measured(a, batches);
  CHECK(all_bit_equal(b->buffers(), before));
  CHECK(block->draw_state() == state);
}

TEST_CASE(
    "recalibrate_batch_norm: norms of filled slots are measured",
    "[recalibrate_batch_norm]") {
  const auto scale = [](double factor) {
    return FunctionChild(
        [factor](const torch::Tensor& x) { return x * factor; });
  };
  ConcatGate gate(
      ConcatGateOptions(1),
      {{"a", scale(1)}, {"b", scale(2)}, {"c", scale(3)}});
  auto norm = SlotBatchNorm1d::from_dense(used_norm(9), {3, 3, 3});
  gate->set_open({0, 2});
  auto net = holder();
  net->add("gate", gate.ptr());
  net->add("norm", norm.ptr());
  const auto before = copies_of(norm->norms[1]->buffers());
  const auto batches = norm_batches();
  CHECK(recalibrate_batch_norm(*net, batches, [&](const torch::Tensor& batch) {
          norm->forward(gate->forward_slots(batch));
        }) == 2);
  check_measured(norm->norms[0], batches);
  CHECK(
      largest_difference(
          norm->norms[2]->running_mean, 3 * norm->norms[0]->running_mean) <
      1e-5);
  CHECK(all_bit_equal(norm->norms[1]->buffers(), before));
}

TEST_CASE(
    "recalibrate_batch_norm: norms that do not run are left alone",
    "[recalibrate_batch_norm]") {
  auto used = used_norm();
  auto unused = used_norm();
  auto head = used_norm();
  auto dropped = used_norm();
  StochasticDepth depth(
      dropped, StochasticDepthOptions(1).scale(DropScale::kEval));
  const auto gate = gatedpaths::test::fake_gate({"a", "b"});
  gate->add_head(head.ptr());  // beside the branches
  auto net = holder();
  net->add("used", used.ptr());
  net->add("unused", unused.ptr());
  net->add("gate", gate);
  net->add("depth", depth.ptr());
  net->add(
      "plain",
      BatchNorm1d(BatchNormOptions(3).track_running_stats(false)).ptr());
  const auto before = copies_of(unused->buffers());
  const auto dropped_before = copies_of(dropped->buffers());
  const auto batches = norm_batches();
  CHECK(recalibrate_batch_norm(*net, batches, [&](const torch::Tensor& batch) {
          depth->forward(head->forward(used->forward(batch)));
        }) == 2);
  check_measured(used, batches);
  CHECK(head->num_batches_tracked.item<int64_t>() == 3);
  CHECK(all_bit_equal(unused->buffers(), before));
  CHECK(all_bit_equal(dropped->buffers(), dropped_before));
}

TEST_CASE(
    "recalibrate_batch_norm: a norm in two places counts both",
    "[recalibrate_batch_norm]") {
  auto shared = used_norm();
  Batches seen;
  auto tap = norm_tap(seen);
  Sequential net(tap, shared, tap, shared);
  CHECK(recalibrate_batch_norm(net, norm_batches()) == 1);
  CHECK(seen.size() == 6);
  check_measured(shared, seen);
}

TEST_CASE(
    "recalibrate_batch_norm: dropped residual branches all run",
    "[recalibrate_batch_norm]") {
  Batches seen;
  auto norm = used_norm();
  StochasticDepth depth(
      Sequential(norm_tap(seen), norm), StochasticDepthOptions(0.9).seed(7));
  const auto batches = norm_batches();
  CHECK(recalibrate_batch_norm(depth, batches) == 1);
  check_measured(norm, batches);
  CHECK(depth->draw_state() == DrawState{7, 0});
}

TEST_CASE(
    "recalibrate_batch_norm: takes each form of a network, and ranges of "
    "anything",
    "[recalibrate_batch_norm]") {
  auto norm = used_norm();
  const auto batches = norm_batches();
  CHECK(recalibrate_batch_norm(norm.ptr(), batches) == 1);
  check_measured(norm, batches);
  norm->reset_running_stats();
  CHECK(recalibrate_batch_norm(*norm, batches) == 1);
  check_measured(norm, batches);
  std::vector<std::pair<torch::Tensor, int>> examples;
  for (const auto& batch : batches) {
    examples.emplace_back(batch, 1);
  }
  norm->reset_running_stats();
  const auto run = [&](auto& item) { norm->forward(item.first); };
  CHECK(recalibrate_batch_norm(*norm, examples, run) == 1);
  check_measured(norm, batches);
  norm->reset_running_stats();
  CHECK(recalibrate_batch_norm(norm, examples, run) == 1);
  check_measured(norm, batches);
}

TEST_CASE(
    "recalibrate_batch_norm: many batches in a reduced dtype are averaged in "
    "float",
    "[recalibrate_batch_norm]") {
  const auto dtype = GENERATE(torch::kBFloat16, torch::kHalf);
  const int64_t count = GENERATE(int64_t{300}, int64_t{2100});
  const bool affine = GENERATE(true, false);
  BatchNorm1d norm(BatchNormOptions(2).affine(affine));
  Sequential net(norm);
  net->to(dtype);
  const auto weight = norm->weight;
  const auto mean_memory = norm->running_mean.data_ptr();
  // The batch's mean rises: a mean that takes in nothing of the last ones, or
  // too much of them, is far off.
  torch::manual_seed(7);
  const auto noise = torch::randn({16, 2}, torch::kDouble);
  Batches batches;
  for (int64_t i = 0; i < count; ++i) {
    const double at = static_cast<double>(i) / static_cast<double>(count);
    batches.push_back((noise * (1 + at) + 4 * at).to(dtype));
  }
  auto mean = torch::zeros({2}, torch::kDouble);
  auto variance = torch::zeros({2}, torch::kDouble);
  for (const auto& batch : batches) {
    mean += batch.to(torch::kDouble).mean(0) / count;
    variance += batch.to(torch::kDouble).var(0) / count;
  }
  CHECK(recalibrate_batch_norm(net, batches) == 1);
  CHECK(norm->running_mean.scalar_type() == dtype);
  CHECK(norm->running_var.scalar_type() == dtype);
  CHECK(norm->num_batches_tracked.scalar_type() == dtype);
  CHECK(norm->running_mean.data_ptr() == mean_memory);
  CHECK(norm->weight.is_same(weight));
  CHECK(net->named_buffers()["0.running_mean"].is_same(norm->running_mean));
  const double one_rounding = dtype == torch::kHalf ? 0x1p-11 : 0x1p-8;
  CHECK(((norm->running_mean - mean).abs() <= 1.1 * one_rounding * mean.abs())
            .all()
            .item<bool>());
  CHECK(((norm->running_var - variance).abs() <= 1.1 * one_rounding * variance)
            .all()
            .item<bool>());
  CHECK(norm->num_batches_tracked.item<double>() == 0);  // as before
  // And it runs as before.
  net->eval();
  CHECK(norm->forward(torch::ones({3, 2}, dtype)).scalar_type() == dtype);
}

TEST_CASE(
    "recalibrate_batch_norm: a norm in a reduced dtype is restored",
    "[recalibrate_batch_norm][error]") {
  BatchNorm1d norm(2);
  BatchNorm1d idle(2);
  struct Net : torch::nn::Module {
    BatchNorm1d norm = nullptr;
    BatchNorm1d idle = nullptr;
  };
  const auto net = std::make_shared<Net>();
  net->norm = net->register_module("norm", norm);
  net->idle = net->register_module("idle", idle);
  norm->forward(torch::randn({4, 2}));
  idle->forward(torch::randn({4, 2}));
  net->to(torch::kBFloat16);
  const auto before = copies_of(net->buffers());
  const auto idle_before = copies_of(idle->buffers());
  const auto weight = norm->weight;
  const Batches batches = {torch::randn({4, 2}).to(torch::kBFloat16)};
  CHECK_THROWS_AS(
      recalibrate_batch_norm(
          net,
          batches,
          [&](const torch::Tensor& batch) {
            norm->forward(batch);
            throw std::runtime_error("no more");
          }),
      std::runtime_error);
  CHECK(all_bit_equal(net->buffers(), before));
  CHECK(norm->weight.is_same(weight));
  CHECK(recalibrate_batch_norm(net, batches, [&](const torch::Tensor& batch) {
          norm->forward(batch);
        }) == 1);
  CHECK(all_bit_equal(idle->buffers(), idle_before));
}

TEST_CASE(
    "recalibrate_batch_norm: where a batch throws, everything is as it was",
    "[recalibrate_batch_norm][error]") {
  const int throwing = GENERATE(0, 1, 2);
  auto first = used_norm();
  auto second = used_norm();
  second->eval();
  int calls = 0;
  FunctionChild thrower([&](const torch::Tensor& x) {
    if (calls++ == throwing) {
      throw std::runtime_error("broken batch");
    }
    return x;
  });
  Dropout drop(0.5);
  Sequential net(first, thrower, second, drop);
  const auto buffers = copies_of(net->buffers());
  CHECK_THROWS_WITH(
      recalibrate_batch_norm(net, norm_batches()), "broken batch");
  CHECK(all_bit_equal(net->buffers(), buffers));
  CHECK(net->is_training());
  CHECK(first->is_training());
  CHECK_FALSE(second->is_training());
  CHECK(drop->is_training());
  CHECK(first->options.momentum() == 0.1);
  CHECK(c10::GradMode::is_enabled());
}

TEST_CASE(
    "recalibrate_batch_norm: no batch is an error",
    "[recalibrate_batch_norm][error]") {
  auto norm = used_norm();
  const auto buffers = copies_of(norm->buffers());
  CHECK(message_of<c10::ValueError>([&] {
          recalibrate_batch_norm(norm, Batches());
        }) == "recalibrate_batch_norm: expected at least one batch, got none");
  CHECK(message_of<c10::ValueError>([&] {
          recalibrate_batch_norm(decltype(norm)(nullptr), Batches());
        }) == "recalibrate_batch_norm: expected a network, got none");
  CHECK(all_bit_equal(norm->buffers(), buffers));
  CHECK(norm->options.momentum() == 0.1);
}
