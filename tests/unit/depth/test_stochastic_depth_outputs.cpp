// SPDX-License-Identifier: MIT
// Layouts, dtypes and values of stochastic depth.
#include <gatedpaths/depth/stochastic_depth.hpp>

#include <limits>

#include "support/autocast.hpp"
#include "support/catch.hpp"
#include "support/counting_child.hpp"
#include "support/stochastic_depth.hpp"
#include "support/tensors.hpp"

using gatedpaths::DropMode;
using gatedpaths::DropScale;
using gatedpaths::StochasticDepth;
using gatedpaths::test::all_zero;
using gatedpaths::test::any_drop_mode;
using gatedpaths::test::Autocast;
using gatedpaths::test::bit_equal;
using gatedpaths::test::depth_forward_until;
using gatedpaths::test::depth_options;
using gatedpaths::test::DepthFactors;
using gatedpaths::test::FunctionChild;
using gatedpaths::test::kDepthRate;
using gatedpaths::test::largest_difference;
using torch::nn::Linear;

TEST_CASE(
    "StochasticDepth: an inf or NaN in a dropped row stays there",
    "[stochastic_depth][forward]") {
  const auto mode = GENERATE(DropMode::kRow, DropMode::kSubset);
  const double bad = GENERATE(
      std::numeric_limits<double>::infinity(),
      std::numeric_limits<double>::quiet_NaN());
  CAPTURE(mode, bad);
  StochasticDepth depth(
      FunctionChild(
          [&](const torch::Tensor& x) { return torch::full_like(x, bad); }),
      depth_options(mode, DropScale::kTrainInverse));
  const auto x = torch::randn({10, 2});
  for (int i = 0; i < 5; ++i) {
    const auto y = depth->forward(x);
    const auto finite = torch::isfinite(y);
    CHECK(finite.any().item<bool>());
    CHECK_FALSE(finite.all().item<bool>());
    CHECK(bit_equal(y.masked_select(finite), x.masked_select(finite)));
  }
}

TEST_CASE(
    "StochasticDepth: without residual dropped rows are zeros of the branch's "
    "shape",
    "[stochastic_depth][forward]") {
  const auto mode = any_drop_mode();
  const bool declared = GENERATE(true, false);
  CAPTURE(mode, declared);
  auto options = depth_options(mode, DropScale::kNone).residual(false);
  if (declared) {
    options.output_shape({4, 3, 3});
  }
  torch::nn::Conv2d conv(
      torch::nn::Conv2dOptions(2, 4, 3).stride(2).padding(1));
  StochasticDepth depth(conv, options);
  DepthFactors factors(depth_options(mode, DropScale::kNone), 4);
  const auto x = torch::randn({4, 2, 5, 5});
  for (int i = 0; i < 20; ++i) {
    const auto y = depth->forward(x);
    const auto part = factors.next().to(torch::kFloat).view({4, 1, 1, 1});
    CHECK(largest_difference(y, part * conv->forward(x)) < 1e-6);
  }
  StochasticDepth fresh(conv, options);
  fresh->set_drop_rate(1);
  const auto y = fresh->forward(x);
  CHECK(y.sizes() == c10::IntArrayRef({4, 4, 3, 3}));
  CHECK(all_zero(y));
}

TEST_CASE(
    "StochasticDepth: the memory format is kept",
    "[stochastic_depth][forward]") {
  const auto mode = any_drop_mode();
  const bool residual = GENERATE(true, false);
  const bool volume = GENERATE(true, false);
  CAPTURE(mode, residual, volume);
  const auto format = volume ? torch::MemoryFormat::ChannelsLast3d
                             : torch::MemoryFormat::ChannelsLast;
  auto x = volume ? torch::randn({6, 4, 2, 3, 3}) : torch::randn({6, 4, 3, 3});
  x = x.contiguous(format);
  StochasticDepth depth(
      FunctionChild([&](const torch::Tensor& rows) {
        CHECK(rows.is_contiguous(format));
        return torch::tanh(rows);
      }),
      depth_options(mode, DropScale::kNone).residual(residual));
  for (int i = 0; i < 5; ++i) {
    CHECK(depth->forward(x).is_contiguous(format));
  }
}

TEST_CASE(
    "StochasticDepth: dtypes promote as a sum does",
    "[stochastic_depth][forward]") {
  const auto mode = any_drop_mode();
  CAPTURE(mode);
  const auto options = depth_options(mode, DropScale::kTrainInverse);
  SECTION("under autocast") {
    StochasticDepth depth(Linear(3, 3), options);
    const Autocast autocast;
    for (int i = 0; i < 5; ++i) {
      const auto x = torch::randn({5, 3});
      const auto y = depth->forward(x);
      CHECK(y.scalar_type() == torch::kFloat);
      const auto half = x.to(torch::kBFloat16);
      CHECK(depth->forward(half).scalar_type() == torch::kBFloat16);
    }
  }
  SECTION("in bfloat16") {
    StochasticDepth depth(Linear(3, 3), options);
    depth->to(torch::kBFloat16);
    const auto x = torch::randn({5, 3}).to(torch::kBFloat16).requires_grad_();
    const auto y = depth_forward_until(depth, x, true);
    CHECK(y.scalar_type() == torch::kBFloat16);
    y.sum().backward();
    CHECK(depth->child()->weight.grad().scalar_type() == torch::kBFloat16);
    CHECK(depth->drop_rate() == kDepthRate);  // not rounded to 8 bits
  }
  SECTION("a branch in a wider dtype") {
    StochasticDepth depth(
        FunctionChild(
            [](const torch::Tensor& x) { return x.to(torch::kDouble); }),
        options);
    const auto x = torch::randn({5, 3});
    CHECK(depth_forward_until(depth, x, true).scalar_type() == torch::kDouble);
  }
}

TEST_CASE(
    "StochasticDepth: works in inference mode", "[stochastic_depth][forward]") {
  const auto mode = any_drop_mode();
  CAPTURE(mode);
  const c10::InferenceMode inference;
  StochasticDepth depth(
      Linear(3, 3), depth_options(mode, DropScale::kTrainInverse));
  const auto x = torch::randn({5, 3});
  CHECK(depth_forward_until(depth, x, true).sizes() == x.sizes());
  depth->set_drop_rate(0.5);
  CHECK(depth->drop_rate() == 0.5);
  depth->eval();
  CHECK(bit_equal(depth->forward(x), x + depth->child()->forward(x)));
}

TEST_CASE(
    "StochasticDepth: the scale is not rounded to a reduced dtype",
    "[stochastic_depth][forward]") {
  const auto dtype = GENERATE(torch::kHalf, torch::kBFloat16);
  const auto mode =
      GENERATE(DropMode::kRow, DropMode::kBatch, DropMode::kSubset);
  const bool residual = GENERATE(true, false);
  const int64_t dims = GENERATE(1, 2);
  constexpr double kRate = 0.3;  // 1 / 0.7 is no number of few bits
  StochasticDepth depth(
      FunctionChild([](const torch::Tensor& x) { return x * -0.5; }),
      gatedpaths::StochasticDepthOptions(kRate)
          .mode(mode)
          .scale(DropScale::kTrainInverse)
          .residual(residual)
          .seed(4));
  torch::manual_seed(5);
  const auto x = dims == 1 ? torch::randn({64}).to(dtype)
                           : torch::randn({64, 3}).to(dtype);
  const auto exact = x.to(torch::kDouble);
  const auto kept = exact * ((residual ? 1 : 0) - 0.5 / (1 - kRate));
  const auto dropped = residual ? exact : torch::zeros_like(exact);
  const double one_rounding = dtype == torch::kHalf ? 0x1p-11 : 0x1p-8;
  for (int i = 0; i < 4; ++i) {
    const auto output = depth->forward(x).to(torch::kDouble);
    const auto is_near = [&](const torch::Tensor& expected) {
      // Below the smallest normal half the spacing is fixed.
      return (output - expected).abs() <=
             1.05 * one_rounding * expected.abs() + 0x1p-24;
    };
    CHECK(is_near(kept).logical_or(is_near(dropped)).all().item<bool>());
  }
}
