// SPDX-License-Identifier: MIT
#include <gatedpaths/learning/gumbel_estimator.hpp>

#include <gatedpaths/gates/branch_weighting.hpp>

#include <cmath>
#include <limits>

#include "support/catch.hpp"
#include "support/chi_square.hpp"
#include "support/errors.hpp"
#include "support/learned_net.hpp"
#include "support/tensors.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::GumbelEstimator;
using gatedpaths::GumbelOptions;
using gatedpaths::PathLogits;
using gatedpaths::PathSpace;
using gatedpaths::test::bit_equal;
using gatedpaths::test::deviations;
using gatedpaths::test::largest_difference;
using gatedpaths::test::LearnedNet;
using gatedpaths::test::message_of;
using gatedpaths::test::uneven_logits;

TEST_CASE(
    "GumbelEstimator: branches have their softmax probabilities",
    "[gumbel_estimator][random]") {
  const double temperature = GENERATE(0.1, 10.0);
  CAPTURE(temperature);
  LearnedNet net;
  const PathSpace space(net);
  const auto logits = uneven_logits(space);
  GumbelEstimator estimator(
      logits, space, 5, GumbelOptions().temperature(temperature));
  const auto a = logits->probabilities(0).detach();
  const auto b = logits->probabilities(1).detach();
  std::vector<double> probabilities;
  for (int64_t i = 0; i < 9; ++i) {
    probabilities.push_back((a[i / 3] * b[i % 3]).item<double>());
  }
  std::vector<int64_t> counts(9);
  for (int draw = 0; draw < 4000; ++draw) {
    const auto path = estimator.apply();
    const int64_t number =
        3 * path.open_branches(0)[0] + path.open_branches(1)[0];
    ++counts[static_cast<size_t>(number)];
  }
  CHECK(deviations(counts, probabilities) < 4);
}

TEST_CASE(
    "GumbelEstimator: the noise is Gumbel's and decides",
    "[gumbel_estimator][random]") {
  LearnedNet net;
  const PathSpace space(net);
  const auto logits = uneven_logits(space);
  GumbelEstimator estimator(logits, space, 5);
  double sum = 0;
  constexpr int kDraws = 2000;
  for (int draw = 0; draw < kDraws; ++draw) {
    estimator.apply();
    const auto& weighting = *net.first->weighting();
    REQUIRE(
        (weighting.logits + weighting.noise).argmax().item<int64_t>() ==
        weighting.active);
    sum += weighting.noise.mean().item<double>();
  }
  // Euler's constant; the variance of one number is pi^2 / 6.
  const double standard_error = M_PI / std::sqrt(6.0 * 3 * kDraws);
  CHECK(std::abs(sum / kDraws - 0.5772156649) < 4 * standard_error);
}

TEST_CASE(
    "GumbelEstimator: the temperature of the next step is the one set",
    "[gumbel_estimator][options]") {
  LearnedNet net;
  const PathSpace space(net);
  PathLogits logits(space);
  GumbelEstimator estimator(logits, space, 5);
  CHECK(estimator.temperature() == 1);
  estimator.set_temperature(0.25);
  estimator.apply();
  CHECK(net.first->weighting()->temperature == 0.25);
}

TEST_CASE(
    "GumbelEstimator: gates inside closed branches take no part",
    "[gumbel_estimator][backward]") {
  using torch::nn::Linear;
  torch::manual_seed(6);
  ChoiceBlock inner(Linear(2, 2), Linear(2, 2));
  ChoiceBlock outer({{"plain", Linear(2, 2)}, {"nested", inner}});
  const PathSpace space(outer);
  PathLogits logits(space);
  GumbelEstimator estimator(logits, space, 5);
  int reached = 0;
  for (int step = 0; step < 12; ++step) {
    const auto path = estimator.apply();
    logits->zero_grad();
    outer->forward(torch::ones({1, 2})).sum().backward();
    CHECK(logits->logits(0).grad().defined());
    CHECK(logits->logits(1).grad().defined() == path.reaches(1));
    CHECK((inner->weighting() != nullptr) == path.reaches(1));
    reached += path.reaches(1) ? 1 : 0;
  }
  CHECK(reached > 0);
  CHECK(reached < 12);
}

TEST_CASE(
    "GumbelEstimator: a temperature has to be above zero",
    "[gumbel_estimator][error]") {
  LearnedNet net;
  const PathSpace space(net);
  PathLogits logits(space);
  const auto made = [&](double temperature) {
    return message_of<c10::ValueError>([&] {
      GumbelEstimator(
          logits, space, 5, GumbelOptions().temperature(temperature));
    });
  };
  CHECK(made(0) == "GumbelEstimator: expected a temperature above 0, got 0");
  CHECK(made(-2) == "GumbelEstimator: expected a temperature above 0, got -2");
  GumbelEstimator estimator(logits, space, 5);
  const auto set = [&](double temperature) {
    return message_of<c10::ValueError>(
        [&] { estimator.set_temperature(temperature); });
  };
  const std::string start =
      "GumbelEstimator::set_temperature: expected a temperature above 0, got ";
  CHECK(set(0) == start + "0");
  CHECK(set(std::numeric_limits<double>::quiet_NaN()) == start + "nan");
  CHECK(set(std::numeric_limits<double>::infinity()) == start + "inf");
  CHECK(estimator.temperature() == 1);
}

TEST_CASE(
    "GumbelEstimator: its blocks refuse gates for each sample meanwhile",
    "[gumbel_estimator][error]") {
  LearnedNet net;
  const PathSpace space(net);
  const auto logits = uneven_logits(space);
  GumbelEstimator estimator(logits, space, 5);
  const auto x = torch::ones({2, 2}, torch::kDouble);
  const auto open = torch::eye(3).slice(0, 0, 2).to(torch::kBool);
  estimator.apply();
  CHECK(
      message_of<c10::Error>([&] { net.first->forward(x, open); }) ==
      "ChoiceBlock::forward: expected no gates for each sample while an "
      "estimator weighs the branches, got gates of [2, 3]; end its step first "
      "(finish_step)");
  net.first->eval();
  CHECK(net.first->forward(x, open).sizes() == x.sizes());
  net.first->train();
  estimator.finish_step();
  CHECK(net.first->forward(x, open).sizes() == x.sizes());
}
