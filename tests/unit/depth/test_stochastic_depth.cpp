// SPDX-License-Identifier: MIT
#include <gatedpaths/depth/stochastic_depth.hpp>
#include <gatedpaths/exchange/checkpoint.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/training/open_optimizer.hpp>

#include <torch/nn/cloneable.h>
#include <torch/nn/modules/container/any.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/serialize.h>

#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/autocast.hpp"
#include "support/catch.hpp"
#include "support/chi_square.hpp"
#include "support/counting_child.hpp"
#include "support/errors.hpp"
#include "support/finite_difference.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::AnyBranch;
using gatedpaths::DrawState;
using gatedpaths::DropMode;
using gatedpaths::DropScale;
using gatedpaths::GatedBranch;
using gatedpaths::GatedBranchOptions;
using gatedpaths::GatedModule;
using gatedpaths::load_checked;
using gatedpaths::OpenOptimizer;
using gatedpaths::PathSpace;
using gatedpaths::Skip;
using gatedpaths::StochasticDepth;
using gatedpaths::StochasticDepthImpl;
using gatedpaths::StochasticDepthOptions;
using gatedpaths::to_string;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::all_defined;
using gatedpaths::test::all_zero;
using gatedpaths::test::Autocast;
using gatedpaths::test::bit_equal;
using gatedpaths::test::copies_of;
using gatedpaths::test::deviations;
using gatedpaths::test::deviations_from_uniform;
using gatedpaths::test::FunctionChild;
using gatedpaths::test::gradient_error;
using gatedpaths::test::gradients_of;
using gatedpaths::test::largest_difference;
using gatedpaths::test::message_of;
using gatedpaths::test::none_defined;
using gatedpaths::test::random_stream;
using torch::nn::Linear;

namespace {

constexpr double kDepthRate = 0.4;

StochasticDepthOptions depth_options(
    DropMode mode, DropScale scale, double rate = kDepthRate) {
  return StochasticDepthOptions(rate).mode(mode).scale(scale).seed(7);
}

DropMode any_drop_mode() {
  return GENERATE(DropMode::kRow, DropMode::kBatch, DropMode::kSubset);
}

DropScale any_drop_scale() {
  return GENERATE(
      DropScale::kNone,
      DropScale::kTrainInverse,
      DropScale::kTrainRealised,
      DropScale::kEval);
}

// What the branch of each row is multiplied by; 0 for dropped rows.
class DepthFactors {
 public:
  DepthFactors(const StochasticDepthOptions& options, int64_t batch)
      : depth_(
            FunctionChild(
                [](const torch::Tensor& x) { return torch::ones_like(x); }),
            options),
        zeros_(torch::zeros({batch, 1}, torch::kDouble)) {}

  torch::Tensor next() { return depth_->forward(zeros_).squeeze(1); }

 private:
  StochasticDepth<FunctionChild> depth_;
  torch::Tensor zeros_;
};

std::vector<int64_t> depth_rows(const torch::Tensor& factors) {
  std::vector<int64_t> rows;
  for (int64_t row = 0; row < factors.size(0); ++row) {
    if (factors[row].item<double>() != 0) {
      rows.push_back(row);
    }
  }
  return rows;
}

// A smooth row-wise branch.
struct DepthBlockImpl : torch::nn::Cloneable<DepthBlockImpl> {
  explicit DepthBlockImpl(int64_t size = 3) : features(size) { reset(); }
  void reset() override {
    linear = register_module("linear", Linear(features, features));
  }
  torch::Tensor forward(const torch::Tensor& x) {
    log.add(x, is_training());
    return torch::tanh(linear->forward(x));
  }

  int64_t features;
  Linear linear = nullptr;
  gatedpaths::test::CallLog log;
};
TORCH_MODULE(DepthBlock);

DepthBlock depth_block() {
  torch::manual_seed(1);
  DepthBlock block(3);
  block->to(torch::kDouble);
  return block;
}

// Runs until the branch is dropped, or kept.
template <class Child>
torch::Tensor depth_forward_until(
    StochasticDepth<Child>& depth, const torch::Tensor& x, bool kept) {
  for (int i = 0; i < 200; ++i) {
    auto output = depth->forward(x);
    if (depth->ran_branches().empty() != kept) {
      return output;
    }
  }
  FAIL("no such draw in 200");
  return {};
}

struct DepthParentImpl : torch::nn::Cloneable<DepthParentImpl> {
  DepthParentImpl() { reset(); }
  void reset() override {
    depth = register_module(
        "depth",
        StochasticDepth<Linear>(
            Linear(3, 3), StochasticDepthOptions(0.25).seed(3)));
  }
  StochasticDepth<Linear> depth = nullptr;
};

std::string depth_text(const torch::nn::Module& module) {
  std::ostringstream stream;
  module.pretty_print(stream);
  return stream.str();
}

}  // namespace

TEST_CASE(
    "StochasticDepth: options have defaults", "[stochastic_depth][options]") {
  const StochasticDepthOptions options(0.25);
  CHECK(options.drop_rate() == 0.25);
  CHECK(options.mode() == DropMode::kSubset);
  CHECK(options.scale() == DropScale::kTrainInverse);
  CHECK(options.residual());
  CHECK_FALSE(options.seed().has_value());
  CHECK_FALSE(options.output_shape().has_sizes());

  StochasticDepth depth(
      Linear(3, 4),
      StochasticDepthOptions(0.5)
          .mode(DropMode::kBatch)
          .scale(DropScale::kEval)
          .residual(false)
          .seed(9)
          .output_shape({4}));
  CHECK(depth->drop_rate() == 0.5);
  CHECK(depth->mode() == DropMode::kBatch);
  CHECK(depth->scale() == DropScale::kEval);
  CHECK_FALSE(depth->options.residual());
  CHECK(depth->options.output_shape().has_sizes());
  CHECK(depth->draw_state() == DrawState{9, 0});
}

TEST_CASE(
    "StochasticDepth: modes and scales have names",
    "[stochastic_depth][print]") {
  std::ostringstream stream;
  stream << DropMode::kRow << " " << DropMode::kBatch << " "
         << DropMode::kSubset << " " << DropScale::kNone << " "
         << DropScale::kTrainInverse << " " << DropScale::kTrainRealised << " "
         << DropScale::kEval;
  CHECK(
      stream.str() ==
      "kRow kBatch kSubset kNone kTrainInverse kTrainRealised kEval");
  CHECK(to_string(DropMode::kRow) == "kRow");
  CHECK(to_string(DropScale::kEval) == "kEval");
}

TEST_CASE(
    "StochasticDepth: is a gate with one branch, always open",
    "[stochastic_depth]") {
  const Linear linear(3, 3);
  StochasticDepth depth(linear, 0.5);
  static_assert(std::is_same_v<decltype(depth), StochasticDepth<Linear>>);
  static_assert(std::is_same_v<decltype(depth->child()), Linear>);
  CHECK(depth->child().ptr() == linear.ptr());
  StochasticDepth any(AnyBranch(linear), 0.5);
  static_assert(std::is_same_v<decltype(any), StochasticDepth<AnyBranch>>);
  CHECK(any->child().ptr() == linear.ptr());
  StochasticDepth of_pointer(linear.ptr(), 0.5);
  CHECK(of_pointer->child() == linear.ptr());
  StochasticDepth held(depth.ptr());
  static_assert(std::is_same_v<decltype(held), StochasticDepth<Linear>>);
  CHECK(held.ptr() == depth.ptr());
  StochasticDepth<Linear> empty = nullptr;
  CHECK(empty.is_empty());

  const GatedModule& gate = *depth;
  CHECK(gate.gate_kind() == "StochasticDepth");
  CHECK(gate.branch_names() == std::vector<std::string>{"branch"});
  CHECK(gate.min_open() == 1);
  CHECK(gate.max_open() == 1);
  CHECK(&gate.branch_module(0) == linear.get());
  CHECK(depth->parameters().size() == 2);
  CHECK(depth->named_parameters().contains("branch.weight"));

  torch::nn::Sequential net(Linear(3, 3), depth, any);
  const PathSpace space(net);
  CHECK(space.num_gates() == 2);
  CHECK(space.size() == 1);
}

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
  CHECK(y.is_same(x));
  y.sum().backward();
  CHECK(none_defined(gradients_of(*block)));
  CHECK(block->log.size() == 0);
  CHECK(depth->ran_branches().empty());
  CHECK(depth->draw_state() == DrawState{7, 0});
  depth->eval();
  if (scale == DropScale::kEval) {
    CHECK(depth->forward(x).is_same(x));
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
  gatedpaths::test::CountingChild child;
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
      CHECK((residual ? actual.is_same(x) : !actual.requires_grad()));
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
  CHECK(gradient_error(loss, x) < 1e-7);
  CHECK(gradient_error(loss, block->linear->weight) < 1e-7);
  CHECK(gradient_error(loss, block->linear->bias) < 1e-7);
}

TEST_CASE(
    "StochasticDepth: the scale is the one of the convention",
    "[stochastic_depth][forward]") {
  const auto mode = any_drop_mode();
  const auto scale = any_drop_scale();
  const int64_t batch = GENERATE(1, 2, 3, 64);
  CAPTURE(mode, scale, batch);
  const double keep = 1 - kDepthRate;
  const auto size = static_cast<double>(batch);
  DepthFactors factors(depth_options(mode, scale), batch);
  for (int i = 0; i < 30; ++i) {
    const auto next = factors.next();
    const auto kept = static_cast<double>(depth_rows(next).size());
    if (kept == 0) {
      continue;
    }
    double expected = 1;
    if (scale == DropScale::kTrainInverse ||
        (scale == DropScale::kTrainRealised && mode == DropMode::kBatch)) {
      expected = 1 / keep;
    } else if (scale == DropScale::kTrainRealised) {
      const double any = mode == DropMode::kRow ? 1 - std::pow(1 - keep, size)
                                                : std::min(1.0, size * keep);
      expected = size / (kept * any);
    }
    CHECK_THAT(
        next.max().item<double>(), Catch::Matchers::WithinRel(expected, 1e-12));
    CHECK_THAT(
        next.sum().item<double>(),
        Catch::Matchers::WithinRel(expected * kept, 1e-12));
  }
}

TEST_CASE(
    "StochasticDepth: the mean is the undropped output where that is promised",
    "[stochastic_depth][random]") {
  const auto mode = any_drop_mode();
  const auto scale = any_drop_scale();
  const int64_t batch = GENERATE(1, 2, 3, 64);
  CAPTURE(mode, scale, batch);
  constexpr int64_t kDraws = 800;
  DepthFactors factors(depth_options(mode, scale), batch);
  torch::Tensor all = torch::empty({kDraws, batch}, torch::kDouble);
  for (int64_t i = 0; i < kDraws; ++i) {
    all[i] = factors.next();
  }
  const bool promised =
      scale == DropScale::kTrainInverse || scale == DropScale::kTrainRealised;
  const double expected = promised ? 1 : 1 - kDepthRate;
  // The mean over draws of one row, and of the whole batch; rounding aside, the
  // standard deviation may be 0.
  const auto check = [&](const torch::Tensor& values) {
    const double mean = values.mean().item<double>();
    const double bound = 4 * values.std().item<double>() /
                             std::sqrt(static_cast<double>(kDraws)) +
                         1e-12;
    CAPTURE(mean, bound);
    CHECK(std::abs(mean - expected) <= bound);
    CHECK((promised || std::abs(mean - 1) > bound));  // the bias is there
  };
  check(all.select(1, 0));
  check(all.mean(1));
}

TEST_CASE(
    "StochasticDepth: a subset has the size that the rate says, for small "
    "batches too",
    "[stochastic_depth][random]") {
  const int64_t batch = GENERATE(1, 2, 3, 5, 64);
  CAPTURE(batch);
  constexpr int64_t kDraws = 1000;
  const double expected = 0.6 * static_cast<double>(batch);
  const auto whole = static_cast<int64_t>(std::floor(expected + 1e-9));
  const double rest = std::max(0.0, expected - static_cast<double>(whole));
  DepthFactors factors(
      depth_options(DropMode::kSubset, DropScale::kNone), batch);
  int64_t larger = 0;
  for (int64_t i = 0; i < kDraws; ++i) {
    const auto kept = static_cast<int64_t>(factors.next().sum().item<double>());
    REQUIRE((kept == whole || kept == whole + 1));
    larger += kept - whole;
  }
  // A binomial number; its sd is sqrt(n p (1 - p)).
  CHECK(
      std::abs(static_cast<double>(larger) - kDraws * rest) <=
      4 * std::sqrt(kDraws * rest * (1 - rest)) + 1e-3);
}

TEST_CASE(
    "StochasticDepth: all subsets of a size are equally likely",
    "[stochastic_depth][random]") {
  DepthFactors factors(
      depth_options(DropMode::kSubset, DropScale::kNone, 0.5), 6);
  std::map<std::vector<int64_t>, int64_t> seen;
  for (int i = 0; i < 4000; ++i) {
    ++seen[depth_rows(factors.next())];
  }
  std::vector<int64_t> counts;
  for (const auto& [rows, count] : seen) {
    CHECK(rows.size() == 3);
    counts.push_back(count);
  }
  REQUIRE(counts.size() == 20);  // 6 over 3
  CHECK(deviations_from_uniform(counts) < 4);
}

TEST_CASE(
    "StochasticDepth: rows are independent of each other by row",
    "[stochastic_depth][random]") {
  DepthFactors factors(depth_options(DropMode::kRow, DropScale::kNone), 3);
  std::vector<int64_t> counts(8);
  std::vector<double> probabilities(8);
  for (size_t set = 0; set < 8; ++set) {
    probabilities[set] = 1;
    for (size_t row = 0; row < 3; ++row) {
      probabilities[set] *= (set >> row & 1) != 0 ? 0.6 : 0.4;
    }
  }
  for (int i = 0; i < 4000; ++i) {
    size_t set = 0;
    for (const int64_t row : depth_rows(factors.next())) {
      set |= size_t{1} << row;
    }
    ++counts[set];
  }
  CHECK(deviations(counts, probabilities) < 4);
}

TEST_CASE(
    "StochasticDepth: draws are a function of seed and step alone",
    "[stochastic_depth][random]") {
  const auto mode = any_drop_mode();
  CAPTURE(mode);
  const auto options = depth_options(mode, DropScale::kNone, 0.5);
  constexpr int64_t kBatch = 8;
  const auto sequence = [&](const StochasticDepthOptions& of, int count) {
    DepthFactors factors(of, kBatch);
    std::vector<torch::Tensor> all;
    for (int i = 0; i < count; ++i) {
      all.push_back(factors.next());
    }
    return all;
  };
  const auto stream = random_stream();
  const auto ours = sequence(options, 40);
  CHECK(bit_equal(random_stream(), stream));
  CHECK(all_bit_equal(sequence(options, 40), ours));
  CHECK_FALSE(all_bit_equal(
      sequence(StochasticDepthOptions(options).seed(8), 40), ours));

  StochasticDepth depth(
      FunctionChild([](const torch::Tensor& x) { return torch::ones_like(x); }),
      options);
  const auto zeros = torch::zeros({kBatch, 1}, torch::kDouble);
  depth->set_draw_state({7, 30});
  for (size_t i = 30; i < 40; ++i) {
    CHECK(bit_equal(depth->forward(zeros).squeeze(1), ours[i]));
  }
  CHECK(depth->draw_state() == DrawState{7, 40});
  depth->draw_each_forward(7);
  CHECK(bit_equal(depth->forward(zeros).squeeze(1), ours[0]));
}

TEST_CASE(
    "StochasticDepth: modules without a seed draw from streams of their own",
    "[stochastic_depth][random]") {
  std::set<uint64_t> seeds;
  for (int i = 0; i < 16; ++i) {
    StochasticDepth depth(Linear(3, 3), 0.5);
    CHECK(depth->draw_state()->step == 0);
    CHECK(depth->draw_state()->seed >= uint64_t{1} << 63U);
    seeds.insert(depth->draw_state()->seed);
  }
  CHECK(seeds.size() == 16);
}

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
    "StochasticDepth: an empty batch never runs in training",
    "[stochastic_depth][forward]") {
  const auto mode = GENERATE(DropMode::kRow, DropMode::kSubset);
  auto block = depth_block();
  StochasticDepth depth(block, depth_options(mode, DropScale::kTrainRealised));
  const auto x = torch::zeros({0, 3}, torch::kDouble);
  CHECK(depth->forward(x).is_same(x));
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

TEST_CASE(
    "StochasticDepth: a closed branch around it takes its draws back",
    "[stochastic_depth][random]") {
  auto block = depth_block();
  StochasticDepth depth(
      block, depth_options(DropMode::kRow, DropScale::kTrainInverse));
  GatedBranch branch(depth, GatedBranchOptions().skip(Skip::kNoGrad));
  const auto x = torch::randn({5, 3}, torch::kDouble);
  branch->forward(x);
  CHECK(depth->draw_state() == DrawState{7, 1});
  branch->set_open(false);
  branch->forward(x);
  CHECK(depth->draw_state() == DrawState{7, 1});
  CHECK(depth->drop_rate() == kDepthRate);
}

TEST_CASE(
    "StochasticDepth: OpenOptimizer leaves dropped branches alone",
    "[stochastic_depth][backward]") {
  torch::manual_seed(1);
  StochasticDepth first(
      Linear(3, 3), StochasticDepthOptions(0.5).mode(DropMode::kBatch).seed(1));
  StochasticDepth second(
      Linear(3, 3), StochasticDepthOptions(0.5).mode(DropMode::kBatch).seed(2));
  torch::nn::Sequential net(Linear(3, 3), first, second);
  const PathSpace space(net);
  torch::optim::SGD sgd(
      net->parameters(),
      torch::optim::SGDOptions(0.01).momentum(0.9).weight_decay(0.1));
  OpenOptimizer steps(net.ptr(), space, sgd);
  const auto x = torch::randn({4, 3});
  int dropped = 0;
  for (int i = 0; i < 40; ++i) {
    steps.zero_grad();
    net->forward(x).square().mean().backward();
    const auto before = copies_of(first->parameters());
    const bool ran = !first->ran_branches().empty();
    CHECK(all_defined(gradients_of(*first->child())) == ran);
    CHECK(space.ran().open_branches(0).size() == (ran ? 1U : 0U));
    steps.step();
    CHECK(all_bit_equal(first->parameters(), before) != ran);
    dropped += ran ? 0 : 1;
  }
  CHECK(dropped > 5);
  CHECK(dropped < 35);
}

TEST_CASE(
    "StochasticDepth: clone shares nothing and keeps everything",
    "[stochastic_depth][clone]") {
  StochasticDepth depth(
      torch::nn::Sequential(Linear(3, 3), torch::nn::BatchNorm1d(3)),
      depth_options(DropMode::kRow, DropScale::kEval));
  depth->child()[1]->eval();
  depth->child()[0]->as<torch::nn::LinearImpl>()->weight.set_requires_grad(
      false);
  depth->set_drop_rate(0.25);
  depth->forward(torch::randn({5, 3}));
  const auto copy =
      std::dynamic_pointer_cast<StochasticDepthImpl<torch::nn::Sequential>>(
          depth->clone());
  REQUIRE(copy);
  CHECK(copy->draw_state() == DrawState{7, 1});
  CHECK(copy->drop_rate() == 0.25);
  CHECK(copy->mode() == DropMode::kRow);
  CHECK(copy->scale() == DropScale::kEval);
  CHECK(copy->child().ptr() != depth->child().ptr());
  CHECK(copy->child().ptr() == copy->children().at(0));
  CHECK_FALSE(copy->child()[1]->is_training());
  CHECK(copy->is_training());
  CHECK(all_bit_equal(copy->parameters(), depth->parameters()));
  CHECK(all_bit_equal(copy->buffers(), depth->buffers()));
  CHECK_FALSE(copy->parameters()[0].requires_grad());
  const auto names = [](const auto& items) { return items.keys(); };
  CHECK(names(copy->named_buffers()) == names(depth->named_buffers()));
  for (size_t i = 0; i < copy->buffers().size(); ++i) {
    CHECK(copy->buffers()[i].data_ptr() != depth->buffers()[i].data_ptr());
  }
  copy->set_drop_rate(0.75);
  CHECK(depth->drop_rate() == 0.25);
  copy->forward(torch::randn({5, 3}));
  CHECK(depth->draw_state() == DrawState{7, 1});
}

TEST_CASE(
    "StochasticDepth: a Cloneable parent clones it deeply",
    "[stochastic_depth][clone]") {
  DepthParentImpl parent;
  parent.depth->set_drop_rate(0.5);
  const auto copy = std::dynamic_pointer_cast<DepthParentImpl>(parent.clone());
  REQUIRE(copy);
  CHECK(copy->depth.ptr() == copy->children().at(0));
  CHECK(copy->depth->drop_rate() == 0.5);
  CHECK(copy->depth->draw_state() == DrawState{3, 0});
  CHECK(all_bit_equal(copy->parameters(), parent.parameters()));
  copy->depth->set_drop_rate(0.75);
  CHECK(parent.depth->drop_rate() == 0.5);
  {
    const torch::NoGradGuard no_grad;
    copy->parameters()[0].fill_(9);
  }
  CHECK_FALSE(all_bit_equal(copy->parameters(), parent.parameters()));
}

TEST_CASE(
    "StochasticDepth: the convention is saved and restored",
    "[stochastic_depth][serialize]") {
  const auto mode = any_drop_mode();
  const auto scale = any_drop_scale();
  const bool checked = GENERATE(true, false);
  const bool inside = GENERATE(true, false);
  CAPTURE(mode, scale, checked, inside);
  const auto in_net = [&](const StochasticDepth<Linear>& depth) {
    return inside ? torch::nn::Sequential(depth).ptr()
                  : std::shared_ptr<torch::nn::Module>(depth.ptr());
  };
  StochasticDepth from(Linear(3, 3), depth_options(mode, scale, 0.3));
  from->set_drop_rate(0.7);
  from->to(torch::kHalf);
  from->to(torch::kCPU, torch::kFloat);
  std::stringstream file;
  {
    torch::serialize::OutputArchive archive;
    in_net(from)->save(archive);
    archive.save_to(file);
  }
  StochasticDepth to(Linear(3, 3), StochasticDepthOptions(0.1).seed(5));
  torch::serialize::InputArchive archive;
  archive.load_from(file);
  const auto net = in_net(to);
  if (checked) {
    load_checked(*net, archive);
  } else {
    net->load(archive);
  }
  CHECK(to->drop_rate() == 0.7);
  CHECK(to->mode() == mode);
  CHECK(to->scale() == scale);
  CHECK(all_bit_equal(to->parameters(), from->parameters()));
  CHECK(to->draw_state() == DrawState{5, 0});  // as gates, no part of it
  to->set_drop_rate(0.2);
  CHECK(to->drop_rate() == 0.2);
  CHECK(from->drop_rate() == 0.7);

  to->eval();
  const auto x = torch::randn({4, 3});
  const double keep = scale == DropScale::kEval ? 0.8 : 1;
  CHECK(
      largest_difference(to->forward(x), x + keep * to->child()->forward(x)) <
      1e-6);
  CHECK(
      from->named_buffers().keys() ==
      std::vector<std::string>{"drop.convention"});
}

TEST_CASE(
    "StochasticDepth: what is no convention is not loaded",
    "[stochastic_depth][serialize][error]") {
  StochasticDepth depth(
      Linear(3, 3), depth_options(DropMode::kBatch, DropScale::kEval));
  const auto load = [&](const torch::Tensor& convention) {
    StochasticDepth from(Linear(3, 3), 0.1);
    from->named_buffers()["drop.convention"].set_data(convention);
    std::stringstream file;
    torch::save(from, file);
    torch::load(depth, file);
  };
  const std::string values =
      "StochasticDepth: expected a saved convention of a mode from 0 to 2, a "
      "scale from 0 to 3 and a drop_rate in [0, 1], got ";
  const auto of = [](double mode, double scale, double rate) {
    return torch::tensor({mode, scale, rate}, torch::kDouble);
  };
  const std::vector<std::pair<torch::Tensor, std::string>> cases = {
      {of(3, 1, 0.5), values + "[3, 1, 0.5]"},
      {of(-1, 1, 0.5), values + "[-1, 1, 0.5]"},
      {of(0.5, 1, 0.5), values + "[0.5, 1, 0.5]"},
      {of(1, 4, 0.5), values + "[1, 4, 0.5]"},
      {of(1, std::nan(""), 0.5), values + "[1, nan, 0.5]"},
      {of(1, 1, 1.5), values + "[1, 1, 1.5]"},
      {torch::zeros({2}, torch::kDouble),
       "StochasticDepth: expected a saved convention of [3] Double, got [2] "
       "Double"},
      {torch::zeros({3}),
       "StochasticDepth: expected a saved convention of [3] Double, got [3] "
       "Float"}};
  for (const auto& [convention, message] : cases) {
    CHECK(message_of<c10::ValueError>([&] { load(convention); }) == message);
    CHECK(depth->drop_rate() == kDepthRate);
    CHECK(depth->mode() == DropMode::kBatch);
    CHECK(depth->scale() == DropScale::kEval);
  }
  // Written past the module, it is found before the next use.
  depth->named_buffers()["drop.convention"].copy_(of(7, 1, 0.5));
  const auto x = torch::randn({2, 3});
  CHECK(message_of<c10::ValueError>([&] {
          depth->forward(x);
        }) == values + "[7, 1, 0.5]");
}

TEST_CASE("StochasticDepth: prints itself", "[stochastic_depth][print]") {
  StochasticDepth depth(Linear(3, 4), 0.2);
  CHECK(
      depth_text(*depth) ==
      "gatedpaths::StochasticDepth(drop_rate=0.2, mode=kSubset, "
      "scale=kTrainInverse, residual=true)");
  depth->set_drop_rate(0.25);
  std::ostringstream tree;
  tree << depth;
  CHECK(
      tree.str() ==
      "gatedpaths::StochasticDepth(drop_rate=0.25, mode=kSubset, "
      "scale=kTrainInverse, residual=true)(\n"
      "  (branch): torch::nn::Linear(in_features=3, out_features=4, "
      "bias=true)\n"
      "  (drop): gatedpaths::detail::DropConvention\n"
      ")");
}

TEST_CASE(
    "StochasticDepth: Sequential and AnyModule hold it",
    "[stochastic_depth][forward]") {
  StochasticDepth depth(Linear(3, 3), 0.5);
  StochasticDepth in_any(
      torch::nn::Sequential(Linear(3, 3)), StochasticDepthOptions(0.5));
  torch::nn::Sequential net(depth, in_any);
  torch::nn::AnyModule any{depth};
  net->eval();
  const auto x = torch::randn({2, 3});
  CHECK(bit_equal(any.forward(x), depth->forward(x)));
  CHECK(bit_equal(net->forward(x), in_any->forward(depth->forward(x))));
}

TEST_CASE(
    "StochasticDepth: errors name what is wrong", "[stochastic_depth][error]") {
  const double rate = GENERATE(-0.1, 1.5, std::nan(""));
  const std::string text = std::isnan(rate) ? "nan" : rate < 0 ? "-0.1" : "1.5";
  CHECK(message_of<c10::ValueError>([&] {
          StochasticDepth(Linear(3, 3), rate);
        }) == "StochasticDepth: expected a drop_rate in [0, 1], got " + text);
  StochasticDepth depth(
      Linear(3, 4), depth_options(DropMode::kSubset, DropScale::kTrainInverse));
  CHECK(
      message_of<c10::ValueError>([&] { depth->set_drop_rate(rate); }) ==
      "StochasticDepth::set_drop_rate: expected a drop_rate in [0, 1], got " +
          text);
  CHECK(depth->drop_rate() == kDepthRate);

  CHECK(
      message_of<c10::ValueError>(
          [&] { StochasticDepth<Linear>(Linear(nullptr), 0.5); }) ==
      "StochasticDepth: expected a module for branch 0 ('branch'), got an "
      "empty holder");
  CHECK(
      message_of<c10::ValueError>(
          [&] { depth->forward(torch::randn({5, 3})); }) ==
      "StochasticDepth::forward: expected branch 0 ('branch') to return its "
      "input's shape [3, 3], got [3, 4]; only residual(false) takes another "
      "one");
  CHECK(
      message_of<c10::ValueError>([&] { depth->forward(torch::Tensor()); }) ==
      "StochasticDepth::forward: expected a tensor, got an undefined one");
  CHECK(
      message_of<c10::ValueError>(
          [&] { depth->forward(torch::ones(c10::IntArrayRef())); }) ==
      "StochasticDepth::forward: expected an input with a batch dim for "
      "mode=kSubset, got one of []");
  StochasticDepth flat(
      FunctionChild([](const torch::Tensor& x) { return x.flatten(); }),
      depth_options(DropMode::kRow, DropScale::kNone).residual(false));
  CHECK(
      message_of<c10::ValueError>(
          [&] { depth_forward_until(flat, torch::randn({5, 3}), true); }) ==
      "StochasticDepth::forward: expected branch 0 ('branch') to return its "
      "input's 5 rows, got an output of [15]");
  CHECK(
      message_of<c10::IndexError>([&] { depth->set_open({1}); }) ==
      "StochasticDepth::set_open: expected a branch index in [0, 1), got 1");
}
