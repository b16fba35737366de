// SPDX-License-Identifier: MIT
// What stochastic depth runs, and what it gives.
#include <gatedpaths/depth/stochastic_depth.hpp>

#include <cstdint>

#include "support/catch.hpp"
#include "support/counting_child.hpp"
#include "support/finite_difference.hpp"
#include "support/snapshot.hpp"
#include "support/stochastic_depth.hpp"
#include "support/tensors.hpp"

using gatedpaths::DrawState;
using gatedpaths::DropMode;
using gatedpaths::DropScale;
using gatedpaths::StochasticDepth;
using gatedpaths::StochasticDepthOptions;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::all_defined;
using gatedpaths::test::all_zero;
using gatedpaths::test::any_drop_mode;
using gatedpaths::test::any_drop_scale;
using gatedpaths::test::bit_equal;
using gatedpaths::test::copies_of;
using gatedpaths::test::CountingChild;
using gatedpaths::test::depth_block;
using gatedpaths::test::depth_forward_until;
using gatedpaths::test::depth_options;
using gatedpaths::test::depth_rows;
using gatedpaths::test::DepthFactors;
using gatedpaths::test::gradient_error;
using gatedpaths::test::gradients_of;
using gatedpaths::test::largest_difference;
using gatedpaths::test::none_defined;
using gatedpaths::test::random_stream;

TEST_CASE(
    "StochasticDepth: a rate of 0 is the plain sum bit for bit and draws "
    "nothing",
    "[stochastic_depth][forward][random]") {
  const auto mode = any_drop_mode();
  const auto scale = any_drop_scale();
  CAPTURE(mode, scale);
  auto block = depth_block();
  StochasticDepth depth(block, depth_options(mode, scale, 0));
  const auto x = torch::randn({5, 3}, torch::kDouble);
  const auto stream = random_stream();
  CHECK(bit_equal(depth->forward(x), x + block->forward(x)));
  depth->eval();
  CHECK(bit_equal(depth->forward(x), x + block->forward(x)));
  CHECK(depth->draw_state() == DrawState{7, 0});
  CHECK(bit_equal(random_stream(), stream));
}

TEST_CASE(
    "StochasticDepth: a rate of 1 never runs in training and draws nothing",
    "[stochastic_depth][forward][backward]") {
  const auto mode = any_drop_mode();
  const auto scale = any_drop_scale();
  CAPTURE(mode, scale);
  auto block = depth_block();
  StochasticDepth depth(block, depth_options(mode, scale, 1));
  const auto x = torch::randn({5, 3}, torch::kDouble).requires_grad_();
  const auto y = depth->forward(x);
  CHECK(bit_equal(y, x));
  CHECK_FALSE(y.is_alias_of(x));
  y.sum().backward();
  CHECK(none_defined(gradients_of(*block)));
  CHECK(block->log.size() == 0);
  CHECK(depth->ran_branches().empty());
  CHECK(depth->draw_state() == DrawState{7, 0});
  depth->eval();
  if (scale == DropScale::kEval) {
    CHECK(bit_equal(depth->forward(x), x));
    CHECK(block->log.size() == 0);
  } else {
    CHECK(bit_equal(depth->forward(x), x + block->forward(x)));
  }
}

TEST_CASE(
    "StochasticDepth: in eval nothing is drawn and everything runs",
    "[stochastic_depth][forward][random]") {
  const auto mode = any_drop_mode();
  const auto scale = any_drop_scale();
  const bool residual = GENERATE(true, false);
  CAPTURE(mode, scale, residual);
  auto block = depth_block();
  StochasticDepth depth(block, depth_options(mode, scale).residual(residual));
  const auto x = torch::randn({5, 3}, torch::kDouble);
  const auto part = block->forward(x);
  const auto scaled = scale == DropScale::kEval ? part * 0.6 : part;
  const auto expected = residual ? x + scaled : scaled;
  const auto check = [&] {
    const auto stream = random_stream();
    for (int i = 0; i < 5; ++i) {
      block->log.clear();
      CHECK(largest_difference(depth->forward(x), expected) < 1e-15);
      CHECK(block->log.with(5) == 1);
      CHECK(depth->ran_branches() == c10::IntArrayRef({0}));
    }
    CHECK(bit_equal(random_stream(), stream));
  };
  depth->forward(x);
  depth->eval();
  check();
  CHECK(depth->draw_state() == DrawState{7, 1});
  if (scale != DropScale::kEval) {
    CHECK(bit_equal(depth->forward(x), expected));
  }
  depth->train();
  depth->stop_drawing();
  check();
}

TEST_CASE(
    "StochasticDepth: dropped whole batches leave no trace",
    "[stochastic_depth][forward][backward]") {
  CountingChild child;
  StochasticDepth depth(
      child,
      StochasticDepthOptions(0.5)
          .mode(DropMode::kBatch)
          .residual(false)
          .seed(7));
  const auto x = torch::randn({2, 3, 5, 5}).requires_grad_();
  const auto kept = depth_forward_until(depth, x, true);
  CHECK(kept.sizes() == c10::IntArrayRef({2, 4, 5, 5}));
  kept.sum().backward();
  CHECK(all_defined(gradients_of(*child)));
  child->zero_grad();
  child->log.clear();
  const auto buffers = copies_of(child->buffers());
  depth->set_drop_rate(1);
  const auto stream = random_stream();
  for (int i = 0; i < 3; ++i) {
    const auto dropped = depth->forward(x);
    CHECK(all_zero(dropped));
    CHECK(dropped.sizes() == kept.sizes());
    CHECK_FALSE(dropped.requires_grad());
  }
  CHECK(child->log.size() == 0);
  CHECK(none_defined(gradients_of(*child)));
  CHECK(all_bit_equal(child->buffers(), buffers));
  CHECK(bit_equal(random_stream(), stream));
}

TEST_CASE(
    "StochasticDepth: the branch runs on what its mode says",
    "[stochastic_depth][forward]") {
  const auto mode = any_drop_mode();
  CAPTURE(mode);
  auto block = depth_block();
  const auto options = depth_options(mode, DropScale::kNone);
  StochasticDepth depth(block, options);
  DepthFactors factors(options, 10);
  const auto x = torch::randn({10, 3}, torch::kDouble);
  for (int i = 0; i < 50; ++i) {
    block->log.clear();
    depth->forward(x);
    const auto kept = static_cast<int64_t>(depth_rows(factors.next()).size());
    CHECK(block->log.size() == (kept > 0 ? 1 : 0));
    CHECK(depth->ran_branches().empty() == (kept == 0));
    switch (mode) {
      case DropMode::kRow:
        CHECK(block->log.with(10) == (kept > 0 ? 1 : 0));
        break;
      case DropMode::kBatch:
        CHECK((kept == 0 || kept == 10));
        CHECK(block->log.with(10) == (kept > 0 ? 1 : 0));
        break;
      case DropMode::kSubset:
        CHECK(kept == 6);
        CHECK(block->log.with(6) == 1);
        break;
    }
  }
}

TEST_CASE(
    "StochasticDepth: outputs and gradients are those of the formula with the "
    "same rows",
    "[stochastic_depth][forward][backward]") {
  const auto mode = any_drop_mode();
  const auto scale = any_drop_scale();
  const bool residual = GENERATE(true, false);
  const int64_t batch = GENERATE(1, 2, 3, 7);
  CAPTURE(mode, scale, residual, batch);
  auto block = depth_block();
  auto by_hand = depth_block();
  const auto options = depth_options(mode, scale).residual(residual);
  StochasticDepth depth(block, options);
  DepthFactors factors(depth_options(mode, scale), batch);
  torch::manual_seed(2);
  const auto upstream = torch::randn({batch, 3}, torch::kDouble);
  for (int i = 0; i < 8; ++i) {
    const auto x = torch::randn({batch, 3}, torch::kDouble).requires_grad_();
    const auto twin = x.detach().clone().requires_grad_();
    const auto part = factors.next().unsqueeze(1) * by_hand->forward(twin);
    const auto expected = residual ? twin + part : part;
    const auto actual = depth->forward(x);
    REQUIRE(largest_difference(actual, expected) < 1e-14);
    block->zero_grad();
    by_hand->zero_grad();
    expected.backward(upstream);
    if (depth->ran_branches().empty()) {
      CHECK((residual ? bit_equal(actual, x) : !actual.requires_grad()));
      CHECK(all_zero(by_hand->linear->weight.grad()));
      continue;
    }
    actual.backward(upstream);
    CHECK(largest_difference(x.grad(), twin.grad()) < 1e-14);
    const auto ours = gradients_of(*block);
    const auto theirs = gradients_of(*by_hand);
    for (size_t p = 0; p < ours.size(); ++p) {
      CHECK(largest_difference(ours[p], theirs[p]) < 1e-13);
    }
  }
}

TEST_CASE(
    "StochasticDepth: gradients match finite differences",
    "[stochastic_depth][backward]") {
  const auto mode = any_drop_mode();
  CAPTURE(mode);
  auto block = depth_block();
  StochasticDepth depth(block, depth_options(mode, DropScale::kTrainRealised));
  const auto x = torch::randn({4, 3}, torch::kDouble).requires_grad_();
  depth_forward_until(depth, x, true);
  const DrawState state{7, depth->draw_state()->step - 1};
  const auto loss = [&] {
    depth->set_draw_state(state);
    return depth->forward(x).square().sum();
  };
  loss().backward();
  for (const auto& leaf : {x, block->linear->weight, block->linear->bias}) {
    CHECK(gradient_error(loss, leaf) < 1e-7);
  }
}

TEST_CASE(
    "StochasticDepth: an empty batch never runs in training",
    "[stochastic_depth][forward]") {
  const auto mode = GENERATE(DropMode::kRow, DropMode::kSubset);
  auto block = depth_block();
  StochasticDepth depth(block, depth_options(mode, DropScale::kTrainRealised));
  const auto x = torch::zeros({0, 3}, torch::kDouble);
  CHECK(bit_equal(depth->forward(x), x));
  CHECK(block->log.size() == 0);
  CHECK(depth->draw_state() == DrawState{7, 0});
}

TEST_CASE(
    "StochasticDepth: the rate can be set between steps",
    "[stochastic_depth][forward]") {
  auto block = depth_block();
  StochasticDepth depth(
      block, depth_options(DropMode::kSubset, DropScale::kTrainInverse, 0));
  const auto x = torch::randn({10, 3}, torch::kDouble);
  for (const int64_t dropped : {0, 1, 2, 5, 9}) {
    depth->set_drop_rate(static_cast<double>(dropped) / 10);
    CHECK(depth->drop_rate() == static_cast<double>(dropped) / 10);
    block->log.clear();
    depth->forward(x);
    CHECK(block->log.with(10 - dropped) == 1);
  }
}
