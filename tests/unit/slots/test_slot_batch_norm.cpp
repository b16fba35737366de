// SPDX-License-Identifier: MIT
#include <gatedpaths/slots/slot_batch_norm.hpp>

#include <gatedpaths/gates/concat_gate.hpp>

#include <torch/nn/modules/batchnorm.h>
#include <torch/serialize.h>

#include <cstdint>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "support/autocast.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/slot_layers.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::SlotBatchNorm1d;
using gatedpaths::SlotBatchNorm2d;
using gatedpaths::SlotBatchNormImpl;
using gatedpaths::SlotBatchNormOptions;
using gatedpaths::Slots;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::all_zero;
using gatedpaths::test::Autocast;
using gatedpaths::test::bit_equal;
using gatedpaths::test::copies_of;
using gatedpaths::test::cutting_gate;
using gatedpaths::test::kAllSlots;
using gatedpaths::test::kSlotSizes;
using gatedpaths::test::message_of;
using gatedpaths::test::open_sets;
using gatedpaths::test::part_of;
using gatedpaths::test::random_stream;
using gatedpaths::test::scaled_difference;
using gatedpaths::test::Tensors;
using gatedpaths::test::tolerance_of;
using gatedpaths::test::upstream_of;

namespace {

// Numbers that are not those of a fresh layer.
template <class Dense>
Dense trained_norm(const torch::nn::BatchNormOptions& options) {
  torch::manual_seed(1);
  Dense dense(options);
  const torch::NoGradGuard no_grad;
  if (options.affine()) {
    dense->weight.uniform_(0.5, 1.5);
    dense->bias.uniform_(-1, 1);
  }
  if (options.track_running_stats()) {
    dense->running_mean.uniform_(-1, 1);
    dense->running_var.uniform_(0.5, 1.5);
    dense->num_batches_tracked.fill_(7);
  }
  return dense;
}

Tensors tensors_of(const torch::nn::Module& norm) {
  Tensors all = norm.parameters();
  for (const auto& buffer : norm.buffers()) {
    all.push_back(buffer);
  }
  return all;
}

// Holds the norm of one open slot against its part of the dense one's.
template <class Norm, class Dense>
void check_norm_of_slot(
    const Norm& norm, const Dense& dense, size_t i, double tolerance) {
  const auto check = [&](const torch::Tensor& own, const torch::Tensor& all) {
    CHECK(scaled_difference(own, part_of(all, kSlotSizes, i, 0)) <= tolerance);
  };
  check(norm->running_mean, dense->running_mean);
  check(norm->running_var, dense->running_var);
  if (norm->weight.defined()) {
    check(norm->weight.grad(), dense->weight.grad());
    check(norm->bias.grad(), dense->bias.grad());
  }
  if (norm->num_batches_tracked.defined()) {
    CHECK(bit_equal(norm->num_batches_tracked, dense->num_batches_tracked));
  }
}

// For all open sets, forward and backward, from the same state each.
template <class Layer, class Dense>
void check_norm_against_dense(
    const torch::nn::BatchNormOptions& options,
    const torch::Tensor& input,
    bool training) {
  const auto dtype = input.scalar_type();
  // The mean and deviation that a gradient is made of are rounded to bfloat16,
  // so both layers are that far from the exact one, each to its own side.
  const double tolerance =
      (dtype == torch::kBFloat16 ? 4 : 1) * tolerance_of(dtype);
  auto gate = cutting_gate(kSlotSizes);
  for (const auto& open : open_sets(4)) {
    CAPTURE(open);
    auto dense = trained_norm<Dense>(options);
    dense->to(dtype);
    dense->train(training);
    auto layer = Layer::from_dense(dense, kSlotSizes);
    std::vector<Tensors> before;
    for (const auto& norm : layer->norms) {
      before.push_back(copies_of(tensors_of(*norm)));
    }
    gate->set_open(open);
    const auto of_slots = input.detach().clone().requires_grad_();
    const auto of_dense = input.detach().clone().requires_grad_();
    const Slots actual = layer->forward(gate->forward_slots(of_slots));
    const auto expected = dense->forward(gate->forward(of_dense));
    REQUIRE(actual.positions() == torch::IntArrayRef(open));
    const auto whole = actual.dense();
    REQUIRE(whole.sizes() == expected.sizes());
    REQUIRE(whole.scalar_type() == expected.scalar_type());
    for (const int64_t slot : open) {
      const auto wanted =
          part_of(expected, kSlotSizes, static_cast<size_t>(slot), 1);
      CHECK(scaled_difference(actual.at(slot), wanted) <= tolerance);
      const auto upstream = upstream_of(wanted);
      actual.at(slot).backward(upstream, /*retain_graph=*/true);
      wanted.backward(upstream, /*retain_graph=*/true);
    }
    CHECK(scaled_difference(of_slots.grad(), of_dense.grad()) <= tolerance);
    for (size_t i = 0; i < kSlotSizes.size(); ++i) {
      CAPTURE(i);
      if (gate->is_open(static_cast<int64_t>(i))) {
        check_norm_of_slot(layer->norms[i], dense, i, tolerance);
        continue;
      }
      CHECK(all_bit_equal(tensors_of(*layer->norms[i]), before[i]));
      for (const auto& parameter : layer->norms[i]->parameters()) {
        CHECK_FALSE(parameter.grad().defined());
      }
      CHECK(all_zero(part_of(whole, kSlotSizes, i, 1)));
    }
  }
}

SlotBatchNorm2d slot_norm() {
  return SlotBatchNorm2d::from_dense(
      trained_norm<torch::nn::BatchNorm2d>(kAllSlots), kSlotSizes);
}

}  // namespace

TEST_CASE(
    "SlotBatchNorm: computes what the dense layer does of open slots",
    "[slot_batch_norm][forward][backward]") {
  const auto dtype = GENERATE(torch::kFloat, torch::kDouble, torch::kBFloat16);
  const bool training = GENERATE(true, false);
  CAPTURE(dtype, training);
  torch::manual_seed(2);
  const torch::nn::BatchNormOptions options(kAllSlots);
  SECTION("of maps") {
    check_norm_against_dense<SlotBatchNorm2d, torch::nn::BatchNorm2d>(
        options, torch::randn({4, kAllSlots, 3, 2}).to(dtype), training);
  }
  SECTION("of features") {
    check_norm_against_dense<SlotBatchNorm1d, torch::nn::BatchNorm1d>(
        options, torch::randn({6, kAllSlots}).to(dtype), training);
  }
  SECTION("of sequences") {
    check_norm_against_dense<SlotBatchNorm1d, torch::nn::BatchNorm1d>(
        options, torch::randn({4, kAllSlots, 5}).to(dtype), training);
  }
}

TEST_CASE(
    "SlotBatchNorm: keeps the dense layer's options",
    "[slot_batch_norm][forward][backward]") {
  const bool training = GENERATE(true, false);
  CAPTURE(training);
  torch::manual_seed(2);
  torch::nn::BatchNormOptions options(kAllSlots);
  SECTION("eps and momentum") { options.eps(0.1).momentum(0.7); }
  SECTION("a cumulative average") { options.momentum(std::nullopt); }
  SECTION("no weights") { options.affine(false); }
  SECTION("no statistics") { options.track_running_stats(false); }
  check_norm_against_dense<SlotBatchNorm2d, torch::nn::BatchNorm2d>(
      options, torch::randn({4, kAllSlots, 3, 2}), training);
}

TEST_CASE(
    "SlotBatchNorm: gives the dtype that the dense layer gives under autocast",
    "[slot_batch_norm][forward]") {
  auto layer = slot_norm();
  auto dense = layer->to_dense();
  auto gate = cutting_gate(kSlotSizes);
  gate->set_open({1, 2});
  const auto x = torch::randn({4, kAllSlots, 3, 3})
                     .to(GENERATE(torch::kFloat, torch::kBFloat16));
  const Autocast autocast;
  const auto y = layer->forward(gate->forward_slots(x)).dense();
  CHECK(y.scalar_type() == dense->forward(gate->forward(x)).scalar_type());
}

TEST_CASE(
    "SlotBatchNorm: empty slots stay empty", "[slot_batch_norm][forward]") {
  auto layer = slot_norm();
  auto gate = cutting_gate(kSlotSizes);
  gate->set_open({});
  const auto before = copies_of(tensors_of(*layer));
  const Slots slots =
      layer->forward(gate->forward_slots(torch::randn({4, kAllSlots, 3, 3})));
  CHECK(slots.values().empty());
  CHECK(all_zero(slots.dense()));
  CHECK(all_bit_equal(tensors_of(*layer), before));
}

TEST_CASE(
    "SlotBatchNorm: counts the batches of each slot",
    "[slot_batch_norm][forward]") {
  SlotBatchNorm2d layer(
      SlotBatchNormOptions(kSlotSizes, torch::nn::BatchNormOptions(kAllSlots)));
  auto gate = cutting_gate(kSlotSizes);
  const auto step = [&](const std::vector<int64_t>& open) {
    gate->set_open(open);
    layer->forward(gate->forward_slots(torch::randn({4, kAllSlots, 3, 3})));
  };
  step({0, 1});
  step({1});
  layer->eval();
  step({1, 2});
  const auto count = [&](size_t i) {
    return layer->norms[i]->num_batches_tracked.item<int64_t>();
  };
  CHECK(count(0) == 1);
  CHECK(count(1) == 2);
  CHECK(count(2) == 0);
  CHECK(layer->to_dense()->num_batches_tracked.item<int64_t>() == 2);
}

TEST_CASE(
    "SlotBatchNorm: leaves the slots that it was given as they were",
    "[slot_batch_norm][forward]") {
  auto layer = slot_norm();
  auto gate = cutting_gate(kSlotSizes);
  gate->set_open({0, 2});
  const Slots slots = gate->forward_slots(torch::randn({4, kAllSlots, 3, 3}));
  const auto before = copies_of(slots.values().vec());
  layer->forward(slots);
  CHECK(all_bit_equal(slots.values().vec(), before));
}

TEST_CASE("SlotBatchNorm: converts to and from dense", "[slot_batch_norm]") {
  torch::nn::BatchNormOptions options(kAllSlots);
  options.eps(0.1).momentum(0.7);
  SECTION("with all") {}
  SECTION("without weights") { options.affine(false); }
  SECTION("without statistics") { options.track_running_stats(false); }
  auto dense = trained_norm<torch::nn::BatchNorm2d>(options);
  dense->to(torch::kDouble);
  dense->eval();
  if (options.affine()) {
    dense->weight.set_requires_grad(false);
    // Each tensor keeps its own dtype.
    dense->bias.set_data(dense->bias.to(torch::kFloat));
  }
  const auto stream = random_stream();
  const auto layer = SlotBatchNorm2d::from_dense(dense, kSlotSizes);
  const auto back = layer->to_dense();
  CHECK(bit_equal(random_stream(), stream));
  CHECK(all_bit_equal(tensors_of(*back), tensors_of(*dense)));
  CHECK(back->options.eps() == 0.1);
  CHECK(back->options.momentum() == 0.7);
  CHECK_FALSE(layer->is_training());
  CHECK_FALSE(back->is_training());
  for (const auto& norm : layer->norms) {
    CHECK_FALSE(norm->is_training());
    CHECK(norm->options.eps() == 0.1);
  }
  if (options.affine()) {
    CHECK_FALSE(layer->norms[1]->weight.requires_grad());
    CHECK(layer->norms[1]->bias.requires_grad());
    CHECK(layer->norms[1]->weight.scalar_type() == torch::kDouble);
    CHECK(layer->norms[1]->bias.scalar_type() == torch::kFloat);
    CHECK(back->weight.scalar_type() == torch::kDouble);
    CHECK(back->bias.scalar_type() == torch::kFloat);
    CHECK_FALSE(back->weight.requires_grad());
    CHECK(back->bias.requires_grad());
    CHECK(back->weight.data_ptr() != dense->weight.data_ptr());
  }
  if (options.track_running_stats()) {
    CHECK_FALSE(back->running_mean.requires_grad());
    CHECK(
        layer->norms[0]->running_mean.data_ptr() !=
        dense->running_mean.data_ptr());
    CHECK(
        layer->norms[0]->num_batches_tracked.data_ptr() !=
        layer->norms[1]->num_batches_tracked.data_ptr());
  }
}

TEST_CASE(
    "SlotBatchNorm: a clone shares nothing and keeps all",
    "[slot_batch_norm][clone]") {
  auto layer = slot_norm();
  layer->to(torch::kDouble);
  layer->norms[1]->eval();
  layer->norms[2]->weight.set_requires_grad(false);
  const auto copy =
      std::dynamic_pointer_cast<SlotBatchNormImpl<2>>(layer->clone());
  REQUIRE(copy);
  CHECK(all_bit_equal(tensors_of(*copy), tensors_of(*layer)));
  const auto children = copy->children();
  for (size_t i = 0; i < 4; ++i) {
    CAPTURE(i);
    CHECK(copy->norms[i].ptr() == children[i]);
    CHECK(copy->norms[i].ptr() != layer->norms[i].ptr());
    CHECK(
        copy->norms[i]->weight.data_ptr() !=
        layer->norms[i]->weight.data_ptr());
    CHECK(copy->norms[i]->is_training() == (i != 1));
    CHECK(copy->norms[i]->weight.requires_grad() == (i != 2));
  }
}

TEST_CASE("SlotBatchNorm: saves and loads", "[slot_batch_norm][serialize]") {
  const auto layer = slot_norm();
  std::stringstream stream;
  torch::save(layer, stream);
  SlotBatchNorm2d loaded(
      SlotBatchNormOptions(kSlotSizes, torch::nn::BatchNormOptions(kAllSlots)));
  torch::load(loaded, stream);
  CHECK(all_bit_equal(tensors_of(*loaded), tensors_of(*layer)));
  CHECK(loaded->named_parameters().contains("3.weight"));
  CHECK(loaded->named_buffers().contains("3.running_var"));
}

TEST_CASE("SlotBatchNorm: prints its options", "[slot_batch_norm][print]") {
  std::ostringstream text;
  text << SlotBatchNorm2d(
      SlotBatchNormOptions({16, 8}, torch::nn::BatchNormOptions(24)));
  CHECK(
      text.str() ==
      "gatedpaths::SlotBatchNorm2d(slot_channels=[16, 8])(\n"
      "  (0): torch::nn::BatchNorm2d(16, eps=1e-05, momentum=0.1, affine=true, "
      "track_running_stats=true)\n"
      "  (1): torch::nn::BatchNorm2d(8, eps=1e-05, momentum=0.1, affine=true, "
      "track_running_stats=true)\n"
      ")");
}

TEST_CASE(
    "SlotBatchNorm: refuses sizes that do not fit",
    "[slot_batch_norm][error]") {
  const auto message = [](std::vector<int64_t> channels) {
    return message_of<c10::ValueError>([&] {
      SlotBatchNorm1d(
          SlotBatchNormOptions(channels, torch::nn::BatchNormOptions(6)));
    });
  };
  CHECK(
      message({2, 3}) ==
      "SlotBatchNorm1d: expected slot_channels that add up to the dense "
      "layer's 6 num_features, got [2, 3], which add up to 5");
  CHECK(
      message({}) ==
      "SlotBatchNorm1d: expected slot_channels of at least one slot, got []");
  CHECK(
      message({6, 0}) ==
      "SlotBatchNorm1d: expected slot_channels of at least 1 each, got [6, 0]");
  CHECK(
      message_of<c10::ValueError>([] {
        SlotBatchNorm2d::from_dense(torch::nn::BatchNorm2d(6), {7});
      }) ==
      "SlotBatchNorm2d: expected slot_channels that add up to the dense "
      "layer's 6 num_features, got [7], which add up to 7");
  CHECK(
      message_of<c10::IndexError>([] { slot_norm()->slot_parameters(4); }) ==
      "SlotBatchNorm2d::slot_parameters: expected a slot in [0, 4), got 4");
}

TEST_CASE(
    "SlotBatchNorm: refuses the slots of another gate",
    "[slot_batch_norm][error]") {
  auto layer = slot_norm();
  const auto message = [&](const std::vector<int64_t>& sizes, int64_t dim) {
    auto gate = cutting_gate(sizes, dim);
    return message_of<c10::ValueError>([&] {
      layer->forward(gate->forward_slots(torch::randn({2, 10, 3, 10})));
    });
  };
  CHECK(
      message({5, 5}, 1) ==
      "SlotBatchNorm2d::forward: expected Slots of 4 slots, got 2");
  CHECK(
      message({2, 3, 4, 1}, 1) ==
      "SlotBatchNorm2d::forward: expected slot 1 to have 1 along dim 1, got "
      "[2, 3, 3, 10]");
  CHECK(
      message(kSlotSizes, 3) ==
      "SlotBatchNorm2d::forward: expected slots that are concatenated along "
      "dim 1, got slots of [2, 10, 3, 2] along dim 3");
}

TEST_CASE(
    "SlotBatchNorm: says which slots were used", "[slot_batch_norm][forward]") {
  auto layer = slot_norm();
  auto gate = cutting_gate(kSlotSizes);
  gate->set_open({1, 3});
  layer->forward(gate->forward_slots(torch::randn({4, kAllSlots, 3, 3})));
  CHECK(layer->used_slots() == torch::IntArrayRef({1, 3}));
  REQUIRE(layer->slot_parameters(3).size() == 2);
  CHECK(layer->slot_parameters(3)[0].is_same(layer->norms[3]->weight));
  CHECK(layer->slot_parameters(3)[1].is_same(layer->norms[3]->bias));
}
