// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/search/evaluate.hpp>
#include <gatedpaths/search/zero_cost.hpp>

#include <c10/core/InferenceMode.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>

#include <cmath>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <vector>

#include "support/catch.hpp"
#include "support/counting_child.hpp"
#include "support/errors.hpp"
#include "support/evaluated_net.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using Catch::Approx;
using gatedpaths::ChoiceBlock;
using gatedpaths::evaluate;
using gatedpaths::EvaluateOptions;
using gatedpaths::EvaluationBatch;
using gatedpaths::gradient_norm_metric;
using gatedpaths::jacobian_covariance_metric;
using gatedpaths::PathMetric;
using gatedpaths::PathRun;
using gatedpaths::PathSpace;
using gatedpaths::snip_metric;
using gatedpaths::synflow_metric;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::all_paths;
using gatedpaths::test::copies_of;
using gatedpaths::test::FunctionChild;
using gatedpaths::test::gradients_of;
using gatedpaths::test::largest_difference;
using gatedpaths::test::message_of;
using gatedpaths::test::small_batches;
using gatedpaths::test::StagedNet;
using torch::nn::BatchNorm1d;
using torch::nn::Dropout;
using torch::nn::Linear;
using torch::nn::LinearOptions;
using torch::nn::Sequential;

namespace {

Linear linear_of(const torch::Tensor& weight, const torch::Tensor& bias = {}) {
  Linear linear(
      LinearOptions(weight.size(1), weight.size(0)).bias(bias.defined()));
  const torch::NoGradGuard no_grad;
  linear->weight.copy_(weight);
  if (bias.defined()) {
    linear->bias.copy_(bias);
  }
  return linear;
}

// Two matrices, of which a path takes one.
ChoiceBlock<Linear> two_matrices() {
  return ChoiceBlock<Linear>(
      linear_of(torch::tensor({{1., -2.}, {3., 4.}})),
      linear_of(torch::tensor({{0., 1.}, {-1., 0.}})));
}

// With it, the gradient of a matrix is target^T * data.
torch::Tensor product_loss(
    const torch::Tensor& output, const torch::Tensor& target) {
  return (output * target).sum();
}

template <class Net>
std::vector<double> scores(
    Net&& net,
    const std::vector<EvaluationBatch>& batches,
    const PathMetric& metric,
    const EvaluateOptions& options = {}) {
  const PathSpace space(net);
  std::vector<double> values;
  for (const auto& result :
       evaluate(net, space, all_paths(space), batches, metric, options)) {
    values.push_back(result.values[0]);
  }
  return values;
}

}  // namespace

TEST_CASE("zero_cost: the norms of gradients are summed", "[zero_cost]") {
  const EvaluationBatch batch(
      torch::tensor({{1.F, 2.F}}), torch::tensor({{1.F, 1.F}}));
  // Each matrix has the gradient {{1, 2}, {1, 2}}.
  auto net = two_matrices();
  const auto values = scores(net, {batch}, gradient_norm_metric(product_loss));
  CHECK(values[0] == Approx(std::sqrt(10.)));
  CHECK(values[1] == Approx(std::sqrt(10.)));

  // Behind the block: {{-3, 11}} and {{2, -1}}, and before it target^T * w.
  const auto last = linear_of(torch::tensor({{1., 1.}}), torch::ones({1}));
  Sequential deep(two_matrices(), last);
  const EvaluationBatch one(batch.data, torch::tensor({{1.F}}));
  const auto sums = scores(deep, {one}, gradient_norm_metric(product_loss));
  CHECK(sums[0] == Approx(std::sqrt(10.) + std::sqrt(9. + 121.)));
  CHECK(sums[1] == Approx(std::sqrt(10.) + std::sqrt(4. + 1.)));
}

TEST_CASE("zero_cost: cross entropy is the loss", "[zero_cost]") {
  auto net = two_matrices();
  const EvaluationBatch batch(torch::zeros({3, 2}), torch::tensor({0, 1, 1}));
  const EvaluationBatch other(torch::ones({3, 2}), torch::tensor({0, 0, 0}));
  CHECK(scores(net, {batch}, gradient_norm_metric())[0] == 0);
  // Logits (-1, 7): the gradient is (p - 1, 1 - p), p = 1 / (1 + e^8), times
  // ones.
  const double rest = 1 - 1 / (1 + std::exp(8.));
  CHECK(scores(net, {other}, gradient_norm_metric())[0] == Approx(2 * rest));
  CHECK(
      scores(net, {other}, snip_metric())[0] == Approx(rest * (1 + 2 + 3 + 4)));
}

TEST_CASE("zero_cost: snip is weights times gradients", "[zero_cost]") {
  auto net = two_matrices();
  const EvaluationBatch batch(
      torch::tensor({{1.F, 2.F}}), torch::tensor({{1.F, -1.F}}));
  const auto values = scores(net, {batch}, snip_metric(product_loss));
  CHECK(values[0] == Approx(1 + 4 + 3 + 8));
  CHECK(values[1] == Approx(2 + 1));
}

TEST_CASE("zero_cost: synflow is the flow of absolute values", "[zero_cost]") {
  // Ones become (4, 8), then 4 + 2 * 8 + 5 = 25.
  BatchNorm1d norm(2);
  {
    const torch::NoGradGuard no_grad;
    norm->running_mean.fill_(3);
    norm->running_var.fill_(9);
    norm->weight.fill_(-2);
    norm->bias.fill_(7);
  }
  Sequential net(
      linear_of(torch::tensor({{1., -2.}, {3., 4.}}), torch::tensor({1., -1.})),
      norm,
      ChoiceBlock<>(
          linear_of(torch::tensor({{-1., 2.}}), torch::tensor({-5.})),
          linear_of(torch::tensor({{0., -3.}}), torch::tensor({0.}))));
  const EvaluationBatch batch(torch::randn({4, 2}), torch::Tensor());
  const auto parameters = copies_of(net->parameters());
  const auto buffers = copies_of(net->buffers());
  const void* memory = net->parameters()[0].data_ptr();

  const auto values = scores(net, {batch}, synflow_metric());
  // The last weights: 4 + 2 * 8 and 3 * 8; the first: 3 + 2 * 7 and 3 * 7.
  CHECK(values == std::vector<double>{20 + 17, 24 + 21});

  CHECK(all_bit_equal(copies_of(net->parameters()), parameters));
  CHECK(all_bit_equal(copies_of(net->buffers()), buffers));
  CHECK(net->parameters()[0].data_ptr() == memory);
  CHECK(norm->options.eps() == 1e-5);
  net->forward(batch.data).sum().backward();
  CHECK(net->parameters()[0].grad().scalar_type() == torch::kFloat);
}

TEST_CASE(
    "zero_cost: the covariance of Jacobians is that of the formula",
    "[zero_cost]") {
  const double k = 1e-5;
  const auto score = [&](double a, double b) {
    return -(std::log(a + k) + 1 / (a + k) + std::log(b + k) + 1 / (b + k));
  };
  // The Jacobians are 2 x and 3 x^2.
  ChoiceBlock<> net(
      FunctionChild([](const torch::Tensor& x) { return x.square(); }),
      FunctionChild([](const torch::Tensor& x) { return x.pow(3); }));
  const EvaluationBatch batch(
      torch::tensor({{1.F, 2.F, 3.F}, {1.F, 3.F, 2.F}}), torch::Tensor());
  const auto values = scores(net, {batch}, jacobian_covariance_metric());
  // Of (1, 2, 3) and (1, 3, 2) the correlation is 1 / 2; of (1, 4, 9) and
  // (1, 9, 4) it is (1 + 36 + 36 - 3 * (14 / 3)^2) / (98 - 3 * (14 / 3)^2).
  const double mean = 14. / 3;
  const double r = (73 - 3 * mean * mean) / (98 - 3 * mean * mean);
  CHECK(values[0] == Approx(score(0.5, 1.5)));
  CHECK(values[1] == Approx(score(1 - r, 1 + r)));

  CHECK(
      message_of<c10::ValueError>([&] {
        scores(
            net,
            {{torch::ones({1, 3}), torch::Tensor()}},
            jacobian_covariance_metric());
      }) ==
      "jacobian_covariance_metric: expected batches of a floating dtype and "
      "two "
      "samples or more, got [1, 3] Float");
}

TEST_CASE(
    "zero_cost: synflow leaves out norms without statistics", "[zero_cost]") {
  using torch::nn::BatchNorm1dOptions;
  torch::manual_seed(4);
  const Linear first(4, 4);
  const Linear last(4, 2);
  const BatchNorm1d norm(BatchNorm1dOptions(4).track_running_stats(false));
  const BatchNorm1d bare(
      BatchNorm1dOptions(4).affine(false).track_running_stats(false));
  const EvaluationBatch batch(torch::randn({4, 4}), torch::Tensor());
  Sequential plain(first, last);
  Sequential net(first, norm, bare, last);
  CHECK(
      scores(net, {batch}, synflow_metric()) ==
      scores(plain, {batch}, synflow_metric()));
  CHECK_FALSE(norm->options.track_running_stats());
  CHECK_FALSE(norm->running_mean.defined());
  CHECK_FALSE(bare->running_var.defined());
}

TEST_CASE(
    "zero_cost: the Jacobian of a path that does not use its input is constant",
    "[zero_cost]") {
  const Linear last(3, 2);
  Sequential net(gatedpaths::GatedBranch<Linear>(Linear(3, 3)), last);
  const EvaluationBatch batch(torch::randn({4, 3}), torch::Tensor());
  const auto options =
      EvaluateOptions().non_finite(gatedpaths::NonFinite::kRecord);
  for (const bool is_frozen : {false, true}) {
    last->weight.set_requires_grad(!is_frozen);
    last->bias.set_requires_grad(!is_frozen);
    const auto values =
        scores(net, {batch}, jacobian_covariance_metric(), options);
    CHECK(std::isnan(values[0]));
  }
}

TEST_CASE(
    "zero_cost: norms take the batch's statistics and all else is in eval",
    "[zero_cost]") {
  torch::manual_seed(3);
  Linear linear(4, 4);
  BatchNorm1d norm(4);
  Sequential net(
      linear, norm, Dropout(0.5), ChoiceBlock<>(Linear(4, 2), Linear(4, 2)));
  const auto batch = small_batches()[0];
  norm->running_var.fill_(100);
  const auto buffers = copies_of(net->buffers());
  const auto found = scores(
      net,
      {batch},
      snip_metric(product_loss),
      EvaluateOptions().recalibrate_on({batch.data}));
  CHECK(all_bit_equal(copies_of(net->buffers()), buffers));
  CHECK(gatedpaths::test::none_defined(gradients_of(*net)));
  CHECK(net->is_training());

  norm->train();
  net[2]->eval();
  for (size_t i = 0; i < 2; ++i) {
    PathSpace(net).apply(PathSpace(net).at(i));
    net->zero_grad();
    product_loss(net->forward(batch.data), batch.target).backward();
    double expected = 0;
    for (const auto& parameter : net->parameters()) {
      if (parameter.grad().defined() && parameter.dim() == 2) {
        expected += (parameter * parameter.grad()).abs().sum().item<double>();
      }
    }
    CHECK(found[i] == Approx(expected));
  }
}

TEST_CASE(
    "zero_cost: every score works with stages and on any batch",
    "[zero_cost]") {
  StagedNet net(2);
  const auto batches = small_batches();
  const auto metric = [] {
    switch (GENERATE(0, 1, 2, 3)) {
      case 0:
        return gradient_norm_metric(product_loss);
      case 1:
        return snip_metric(product_loss);
      case 2:
        return synflow_metric();
      default:
        return jacobian_covariance_metric();
    }
  }();
  net.forward(batches[0].data).sum().backward();
  const auto gradients = copies_of(gradients_of(net));
  const auto buffers = copies_of(net.buffers());
  const auto expected = scores(net, batches, metric);
  CHECK(
      scores(net, batches, metric, EvaluateOptions().stages(net.stages())) ==
      expected);
  {
    const c10::InferenceMode inference;
    CHECK(scores(net, small_batches(), metric) == expected);
  }
  CHECK(all_bit_equal(copies_of(gradients_of(net)), gradients));
  CHECK(all_bit_equal(copies_of(net.buffers()), buffers));
}

TEST_CASE(
    "zero_cost: a path without weights has the score 0, a network is refused",
    "[zero_cost][error]") {
  const EvaluationBatch batch(
      torch::tensor({{1.F, 2.F}}), torch::tensor({{1.F, 1.F}}));
  ChoiceBlock<> net(
      linear_of(torch::eye(2)),
      FunctionChild([](const torch::Tensor& x) { return x; }));
  CHECK(
      scores(net, {batch}, snip_metric(product_loss)) ==
      std::vector<double>{3, 0});
  for (auto& parameter : net->parameters()) {
    parameter.set_requires_grad(false);
  }
  CHECK(
      message_of<c10::ValueError>(
          [&] { scores(net, {batch}, synflow_metric()); }) ==
      "synflow_metric: expected a network with weights of two dims or more "
      "that "
      "require grad, got none");
}

TEST_CASE(
    "evaluate: a metric of the network runs the path with gradients",
    "[evaluate]") {
  StagedNet net(1);
  const auto batches = small_batches();
  bool is_in_mode = false;
  PathMetric metric("runs", [&](const PathRun& run) {
    CHECK(is_in_mode);
    CHECK(&run.net == &net);
    CHECK(run.forward(run.batch.data).requires_grad());
    CHECK(!run.net.is_training());
    if (run.batch.data.size(0) == 3) {
      throw std::runtime_error("enough");
    }
    return 1.0;
  });
  metric.mode([&](torch::nn::Module&) {
    is_in_mode = true;
    return std::shared_ptr<void>(nullptr, [&](void*) { is_in_mode = false; });
  });
  CHECK_THROWS_AS(scores(net, batches, metric), std::runtime_error);
  CHECK(!is_in_mode);
  CHECK(net.is_training());
  CHECK(
      scores(net, {batches[0]}, metric) == std::vector<double>{1.0, 1.0, 1.0});
}
