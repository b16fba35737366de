// SPDX-License-Identifier: MIT
// What stochastic depth draws, and how it scales.
#include <gatedpaths/depth/stochastic_depth.hpp>
#include <gatedpaths/gates/stream_seed.hpp>

#include "src/random/counter_random.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "support/catch.hpp"
#include "support/chi_square.hpp"
#include "support/counting_child.hpp"
#include "support/snapshot.hpp"
#include "support/stochastic_depth.hpp"
#include "support/tensors.hpp"

using gatedpaths::DrawState;
using gatedpaths::DropMode;
using gatedpaths::DropScale;
using gatedpaths::StochasticDepth;
using gatedpaths::StochasticDepthOptions;
using gatedpaths::detail::CounterRandom;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::any_drop_mode;
using gatedpaths::test::any_drop_scale;
using gatedpaths::test::bit_equal;
using gatedpaths::test::depth_options;
using gatedpaths::test::depth_rows;
using gatedpaths::test::DepthFactors;
using gatedpaths::test::deviations;
using gatedpaths::test::deviations_from_uniform;
using gatedpaths::test::FunctionChild;
using gatedpaths::test::kDepthRate;
using gatedpaths::test::random_stream;
using torch::nn::Linear;

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
    "StochasticDepth: a rare kept row has its scale to the last digits",
    "[stochastic_depth][forward]") {
  const double rate = 1 - 1e-6;
  const double keep = 1 - rate;
  const uint64_t key = gatedpaths::stream_seed(7, "StochasticDepth");
  uint64_t step = 0;  // of the first draw that keeps its first row
  while (CounterRandom(key, step, 0).uniform() >= keep) {
    ++step;
  }
  StochasticDepth depth(
      FunctionChild([](const torch::Tensor& x) { return torch::ones_like(x); }),
      depth_options(DropMode::kRow, DropScale::kTrainRealised, rate));
  depth->set_draw_state({7, step});
  const auto factors = depth->forward(torch::zeros({2, 1}, torch::kDouble));
  REQUIRE(factors.count_nonzero().item<int64_t>() == 1);
  // 2 rows, one kept, over 1 - (1 - keep)^2.
  CHECK_THAT(
      factors[0].item<double>(),
      Catch::Matchers::WithinRel(2 / (keep * (2 - keep)), 1e-14));
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
