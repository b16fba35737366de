// SPDX-License-Identifier: MIT
#include <gatedpaths/learning/path_losses.hpp>

#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/finite_difference.hpp"
#include "support/tensors.hpp"

using gatedpaths::expected_cost;
using gatedpaths::GateLayout;
using gatedpaths::load_balance_loss;
using gatedpaths::path_entropy;
using gatedpaths::PathLogits;
using gatedpaths::SpaceLayout;
using gatedpaths::target_rate_loss;
using gatedpaths::test::gradient_error;
using gatedpaths::test::message_of;

namespace {

using Costs = std::vector<std::vector<double>>;

/// A choice of three; a choice of two inside its branch b; a free gate.
PathLogits losses_logits() {
  PathLogits logits(std::make_shared<const SpaceLayout>(std::vector<GateLayout>{
      {"outer", {"a", "b", "c"}, 1, 1, {}},
      {"outer.b.inner", {"x", "y"}, 1, 1, {{0, 1}}},
      {"free", {"u", "v"}, 0, 2, {}}}));
  logits->to(torch::kDouble);
  torch::manual_seed(4);
  const torch::NoGradGuard no_grad;
  for (auto& parameter : logits->parameters()) {
    parameter.normal_();
  }
  return logits;
}

template <class Loss>
void check_gradients_of(const PathLogits& logits, const Loss& loss) {
  loss().backward();
  for (const auto& parameter : logits->parameters()) {
    CHECK(gradient_error(loss, parameter) < 1e-8);
  }
}

}  // namespace

TEST_CASE(
    "expected_cost: is the mean cost of all paths", "[path_losses][backward]") {
  auto logits = losses_logits();
  const SpaceLayout& layout = logits->layout();
  const Costs costs = {{1, 2.5, -3}, {10, 20}, {4, 0.5}};
  double mean = 0;
  for (uint64_t i = 0; i < layout.size(); ++i) {
    const auto path = layout.at(i);
    double cost = 0;
    for (const auto& [gate, open] : path) {
      for (const int64_t branch : open) {
        cost += costs[static_cast<size_t>(gate)][static_cast<size_t>(branch)];
      }
    }
    mean += cost * std::exp(logits->log_probability(path).item<double>());
  }
  const auto loss = [&] { return expected_cost(*logits, costs); };
  CHECK(std::abs(loss().item<double>() - mean) < 1e-12);
  check_gradients_of(logits, loss);
}

TEST_CASE(
    "path_entropy: is the entropy of all paths", "[path_losses][backward]") {
  auto logits = losses_logits();
  const SpaceLayout& layout = logits->layout();
  double entropy = 0;
  for (uint64_t i = 0; i < layout.size(); ++i) {
    const double log = logits->log_probability(layout.at(i)).item<double>();
    entropy -= std::exp(log) * log;
  }
  const auto loss = [&] { return path_entropy(*logits); };
  CHECK(std::abs(loss().item<double>() - entropy) < 1e-12);
  check_gradients_of(logits, loss);

  // Certain, and still with a finite gradient.
  {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : logits->parameters()) {
      parameter.fill_(-900);
      parameter[0] = 900;
    }
  }
  CHECK(loss().item<double>() == 0);
  loss().backward();
}

TEST_CASE(
    "target_rate_loss: is the squared distance of the mean rates",
    "[path_losses][backward]") {
  const auto open = torch::tensor({{1.0, 0.0}, {0.5, 0.0}}, torch::kDouble)
                        .set_requires_grad(true);
  CHECK(
      target_rate_loss(open, 0.5).item<double>() ==
      Catch::Approx(0.0625 + 0.25));
  const std::vector<double> targets = {0.75, 0.2};
  const auto loss = [&] { return target_rate_loss(open, targets); };
  CHECK(loss().item<double>() == Catch::Approx(0.04));
  loss().backward();
  CHECK(gradient_error(loss, open) < 1e-8);
  CHECK(
      target_rate_loss(torch::tensor({0.25F, 0.75F}), 0.5).item<float>() ==
      0.125F);
}

TEST_CASE(
    "load_balance_loss: goes from 1 to the number of branches",
    "[path_losses][backward]") {
  const auto even = torch::eye(4, torch::kDouble);
  CHECK(load_balance_loss(even, even.to(torch::kBool)).item<double>() == 1);
  const auto one = torch::zeros({4, 4}, torch::kDouble);
  one.select(1, 2).fill_(1);
  CHECK(load_balance_loss(one, one.to(torch::kBool)).item<double>() == 4);

  torch::manual_seed(3);
  const auto probabilities =
      torch::rand({5, 3}, torch::kDouble).set_requires_grad(true);
  const auto open = torch::rand({5, 3}) < 0.5;
  const auto loss = [&] { return load_balance_loss(probabilities, open); };
  double expected = 0;
  for (int64_t k = 0; k < 3; ++k) {
    expected += 3 * open.select(1, k).to(torch::kDouble).mean().item<double>() *
                probabilities.select(1, k).mean().item<double>();
  }
  CHECK(loss().item<double>() == Catch::Approx(expected));
  loss().backward();
  CHECK(gradient_error(loss, probabilities) < 1e-8);
}

TEST_CASE("path losses: errors say what is wrong", "[path_losses][error]") {
  auto logits = losses_logits();
  const auto cost = [&](const Costs& costs) {
    return message_of<c10::ValueError>([&] { expected_cost(*logits, costs); });
  };
  CHECK(
      cost({{1, 2, 3}}) == "expected_cost: expected costs for 3 gates, got 1");
  CHECK(
      cost({{1, 2, 3}, {1}, {1, 2}}) ==
      "expected_cost: expected 2 costs for gate 'outer.b.inner', got 1");
  CHECK(
      cost({{1, 2, 3}, {1, std::nan("")}, {1, 2}}) ==
      "expected_cost: expected finite costs, got nan for branch 1 ('y') of "
      "gate 'outer.b.inner'");

  const auto rate = [](const torch::Tensor& open, std::vector<double> targets) {
    return message_of<c10::ValueError>(
        [&] { target_rate_loss(open, targets); });
  };
  const std::string rates =
      "target_rate_loss: expected floating point [batch, gates] or [gates], "
      "got ";
  CHECK(rate({}, {0.5}) == rates + "an undefined tensor");
  CHECK(rate(torch::zeros({2}, torch::kLong), {0.5}) == rates + "[2] Long");
  CHECK(rate(torch::zeros({0, 2}), {0.5}) == rates + "[0, 2] Float");
  CHECK(
      rate(torch::zeros({2, 3}), {0.5, 0.5}) ==
      "target_rate_loss: expected 1 target, or 1 for each of 3 gates, got 2");
  CHECK(
      rate(torch::zeros({2}), {0.5, 1.5}) ==
      "target_rate_loss: expected targets in [0, 1], got 1.5");
  CHECK(
      rate(torch::zeros({2}), {std::nan("")}) ==
      "target_rate_loss: expected targets in [0, 1], got nan");

  const auto balance = [](const torch::Tensor& p, const torch::Tensor& open) {
    return message_of<c10::ValueError>([&] { load_balance_loss(p, open); });
  };
  CHECK(
      balance(torch::zeros({2}), torch::zeros({2}, torch::kBool)) ==
      "load_balance_loss: expected floating point probabilities [batch, "
      "branches], got [2] Float");
  CHECK(
      balance(torch::zeros({2, 3}), torch::zeros({2, 3})) ==
      "load_balance_loss: expected open branches [2, 3] Bool, got [2, 3] "
      "Float");
}
