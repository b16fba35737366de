// SPDX-License-Identifier: MIT
// The mean of each estimator over many draws, against the exact gradient of the
// expected loss.
#include <gatedpaths/learning/gumbel_estimator.hpp>
#include <gatedpaths/learning/mixture_estimator.hpp>
#include <gatedpaths/learning/reinforce_estimator.hpp>
#include <gatedpaths/learning/two_path_estimator.hpp>

#include <cmath>
#include <functional>

#include "support/catch.hpp"
#include "support/learned_net.hpp"
#include "support/tensors.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::GumbelEstimator;
using gatedpaths::GumbelOptions;
using gatedpaths::MixtureEstimator;
using gatedpaths::PathEstimator;
using gatedpaths::PathLogits;
using gatedpaths::PathSpace;
using gatedpaths::ReinforceEstimator;
using gatedpaths::TwoPathEstimator;
using gatedpaths::test::exact_gradient;
using gatedpaths::test::largest_difference;
using gatedpaths::test::LearnedNet;
using gatedpaths::test::uneven_logits;

namespace {

using Loss = std::function<torch::Tensor()>;

struct Mean {
  torch::Tensor value;
  torch::Tensor standard_error;
};

Mean mean_estimate(PathEstimator& estimator, const Loss& loss, int draws) {
  const auto parameters = estimator.logits()->parameters();
  torch::Tensor sum;
  torch::Tensor squares;
  for (int i = 0; i < draws; ++i) {
    estimator.apply();
    const auto estimate = torch::cat(
        torch::autograd::grad({estimator.objective(loss())}, parameters));
    estimator.finish_step();
    sum = i == 0 ? estimate : sum + estimate;
    squares = i == 0 ? estimate.square() : squares + estimate.square();
  }
  const auto mean = sum / draws;
  const auto variance = squares / draws - mean.square();
  return {mean, (variance / (draws - 1)).sqrt()};
}

// The largest distance from `exact`, in standard errors.
double errors_from(const Mean& mean, const torch::Tensor& exact) {
  return ((mean.value - exact).abs() / mean.standard_error)
      .max()
      .item<double>();
}

// The distance of `value` from `exact` as a part of its norm.
double relative_bias(const torch::Tensor& value, const torch::Tensor& exact) {
  return ((value - exact).norm() / exact.norm()).item<double>();
}

// One block and a loss that is linear in its output.
struct LinearCase {
  explicit LinearCase(int branches) {
    torch::manual_seed(12);
    std::vector<gatedpaths::NamedBranch<torch::nn::Linear>> list;
    for (int i = 0; i < branches; ++i) {
      list.emplace_back(std::to_string(i), torch::nn::Linear(2, 2));
    }
    block = ChoiceBlock<torch::nn::Linear>(list);
    block->to(torch::kDouble);
    input = torch::randn({4, 2}, torch::kDouble);
    weights = torch::randn({4, 2}, torch::kDouble);
  }

  torch::Tensor loss() { return (block->forward(input) * weights).sum(); }

  ChoiceBlock<torch::nn::Linear> block = nullptr;
  torch::Tensor input;
  torch::Tensor weights;
};

}  // namespace

TEST_CASE(
    "ReinforceEstimator: agrees with the gradient of the expected loss",
    "[reinforce_estimator][random]") {
  LearnedNet net;
  const PathSpace space(net);
  const auto logits = uneven_logits(space);
  const Loss loss = [&] { return net.square_loss(); };
  const auto exact = exact_gradient(logits, space, loss);
  ReinforceEstimator estimator(logits, space, /*seed=*/1);
  const auto mean = mean_estimate(estimator, loss, 2000);
  CHECK(errors_from(mean, exact) < 4);
  CHECK((mean.standard_error.norm() / exact.norm()).item<double>() < 0.1);
}

TEST_CASE(
    "GumbelEstimator: its bias is what its documentation says",
    "[gumbel_estimator][random]") {
  LearnedNet net;
  const PathSpace space(net);
  const auto logits = uneven_logits(space);
  const Loss loss = [&] { return net.square_loss(); };
  const auto exact = exact_gradient(logits, space, loss);
  GumbelEstimator estimator(logits, space, /*seed=*/1);
  const auto mean = mean_estimate(estimator, loss, 1500);
  const double bias = relative_bias(mean.value, exact);
  CAPTURE(bias);
  const double noise =
      (mean.standard_error.norm() / exact.norm()).item<double>();
  CAPTURE(noise);
  CHECK(errors_from(mean, exact) > 4);  // biased indeed
  CHECK(std::abs(bias - 0.85) < 0.1);
}

TEST_CASE(
    "TwoPathEstimator: its bias is what its documentation says",
    "[two_path_estimator][random]") {
  LearnedNet net;
  const PathSpace space(net);
  const auto logits = uneven_logits(space);
  const Loss loss = [&] { return net.square_loss(); };
  const auto exact = exact_gradient(logits, space, loss);
  TwoPathEstimator estimator(logits, space, /*seed=*/1);
  const auto mean = mean_estimate(estimator, loss, 1500);
  const double bias = relative_bias(mean.value, exact);
  CAPTURE(bias);
  const double noise =
      (mean.standard_error.norm() / exact.norm()).item<double>();
  CAPTURE(noise);
  CHECK(errors_from(mean, exact) > 4);
  CHECK(std::abs(bias - 0.65) < 0.1);
}

TEST_CASE(
    "TwoPathEstimator: is exact for two branches and a linear loss",
    "[two_path_estimator][random]") {
  LinearCase two(2);
  const PathSpace space(two.block);
  const auto logits = uneven_logits(space);
  const Loss loss = [&] { return two.loss(); };
  const auto exact = exact_gradient(logits, space, loss);
  TwoPathEstimator estimator(logits, space, /*seed=*/1);
  const auto mean = mean_estimate(estimator, loss, 5);
  CHECK(largest_difference(mean.value, exact) < 1e-12);
}

TEST_CASE(
    "TwoPathEstimator: has the mean that theory gives it for a linear loss",
    "[two_path_estimator][random]") {
  LinearCase three(3);
  const PathSpace space(three.block);
  const auto logits = uneven_logits(space);
  const Loss loss = [&] { return three.loss(); };
  const auto exact = exact_gradient(logits, space, loss);
  // By pair: its probability, times q_i * q_j * (cost_i - cost_j).
  const auto p = logits->probabilities(0).detach();
  std::vector<double> costs;
  for (int64_t i = 0; i < 3; ++i) {
    three.block->select(i);
    costs.push_back(loss().item<double>());
  }
  auto expected = torch::zeros({3}, torch::kDouble);
  for (int64_t i = 0; i < 3; ++i) {
    for (int64_t j = 0; j < 3; ++j) {
      if (i != j) {
        const auto pair = p[i] * p[j] * (1 / (1 - p[i]) + 1 / (1 - p[j]));
        const auto q = p[i] / (p[i] + p[j]);
        expected[i] +=
            pair * q * (1 - q) *
            (costs[static_cast<size_t>(i)] - costs[static_cast<size_t>(j)]);
      }
    }
  }
  TwoPathEstimator estimator(logits, space, /*seed=*/2);
  const auto mean = mean_estimate(estimator, loss, 1000);
  CHECK(errors_from(mean, expected) < 4);
  const double bias = relative_bias(expected, exact);
  CAPTURE(bias);
  CHECK(std::abs(bias - 0.20) < 0.005);
}

TEST_CASE(
    "MixtureEstimator: gives the exact gradient of another objective",
    "[mixture_estimator][backward]") {
  LearnedNet net;
  const PathSpace space(net);
  const auto logits = uneven_logits(space);
  const Loss loss = [&] { return net.square_loss(); };
  const auto exact = exact_gradient(logits, space, loss);
  MixtureEstimator estimator(logits, space, /*seed=*/1);
  const auto mean = mean_estimate(estimator, loss, 2);
  const double bias = relative_bias(mean.value, exact);
  CAPTURE(bias);
  CHECK(std::abs(bias - 0.37) < 0.005);

  // Written out.
  const auto mix = [&](const ChoiceBlock<torch::nn::Linear>& block,
                       const torch::Tensor& x,
                       int64_t gate) {
    const auto weights = logits->logits(gate).softmax(0);
    torch::Tensor sum = torch::zeros_like(x);
    for (int64_t i = 0; i < 3; ++i) {
      sum = sum + weights[i] * block->branch(i)->forward(x);
    }
    return sum;
  };
  const auto output = mix(net.second, mix(net.first, net.input, 0).tanh(), 1);
  const auto expected = torch::cat(torch::autograd::grad(
      {(output - net.target).square().mean()}, logits->parameters()));
  CHECK(largest_difference(mean.value, expected) < 1e-12);

  // Linear in the output, the two objectives are one.
  LinearCase three(3);
  const PathSpace linear_space(three.block);
  const auto linear_logits = uneven_logits(linear_space);
  const Loss linear = [&] { return three.loss(); };
  MixtureEstimator linear_estimator(linear_logits, linear_space, /*seed=*/1);
  CHECK(
      largest_difference(
          mean_estimate(linear_estimator, linear, 2).value,
          exact_gradient(linear_logits, linear_space, linear)) < 1e-12);
}
