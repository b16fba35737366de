// SPDX-License-Identifier: MIT
#include <gatedpaths/search/evaluate.hpp>
#include <gatedpaths/training/recalibrate_batch_norm.hpp>

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/evaluated_net.hpp"
#include "support/snapshot.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::evaluate;
using gatedpaths::EvaluateOptions;
using gatedpaths::EvaluationBatch;
using gatedpaths::PathResult;
using gatedpaths::PathSpace;
using gatedpaths::recalibrate_batch_norm;
using gatedpaths::Stage;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::all_paths;
using gatedpaths::test::copies_of;
using gatedpaths::test::message_of;
using gatedpaths::test::small_batches;
using gatedpaths::test::StagedNet;
using torch::nn::BatchNorm1d;
using torch::nn::Linear;
using torch::nn::Sequential;

namespace {

double norm_metric(const torch::Tensor& output, const torch::Tensor&) {
  return output.mean().item<double>();
}

std::vector<torch::Tensor> calibration() {
  torch::manual_seed(9);
  return {torch::randn({16, 4}) + 2, torch::randn({7, 4}) * 3};
}

// What evaluate promises, one path after the other.
std::vector<double> recalibrated_means(
    StagedNet& net,
    const PathSpace& space,
    const std::vector<EvaluationBatch>& batches) {
  const torch::NoGradGuard no_grad;
  const auto buffers = copies_of(net.buffers());
  net.eval();
  std::vector<double> means;
  for (const auto& path : all_paths(space)) {
    space.apply(path);
    recalibrate_batch_norm(net, calibration());
    double sum = 0;
    double samples = 0;
    for (const auto& batch : batches) {
      const auto count = static_cast<double>(batch.data.size(0));
      sum += count * norm_metric(net.forward(batch.data), batch.target);
      samples += count;
    }
    means.push_back(sum / samples);
    const auto live = net.buffers();
    for (size_t i = 0; i < live.size(); ++i) {
      live[i].copy_(buffers[i]);
    }
  }
  net.clear();
  return means;
}

}  // namespace

TEST_CASE(
    "evaluate: norms are measured for each path, once for what paths share",
    "[evaluate]") {
  StagedNet net(2);
  const PathSpace space(net);
  const auto batches = small_batches();
  const auto expected = recalibrated_means(net, space, batches);
  auto options = EvaluateOptions().recalibrate_on(calibration());
  SECTION("of the whole network") {}
  SECTION("of stages") { options.stages(net.stages()).check_stages(false); }
  SECTION("of functions") {
    options.stages(
        {[&](const torch::Tensor& x) {
           return net.blocks[0]->forward(net.stem->forward(x));
         },
         [&](const torch::Tensor& x) {
           return net.head->forward(net.blocks[1]->forward(x));
         }});
  }
  const auto buffers = copies_of(net.buffers());
  const auto results =
      evaluate(net, space, all_paths(space), batches, norm_metric, options);
  REQUIRE(results.size() == expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    CHECK(results[i].values[0] == expected[i]);
  }
  CHECK(all_bit_equal(copies_of(net.buffers()), buffers));
  CHECK(results[0].values != results[1].values);

  // Two batches to measure on and two to evaluate, and a first run.
  if (options.stages().size() == 4) {
    CHECK(net.runs(0) == 1 + 3 * 4);
    CHECK(net.runs(1) == 1 + 9 * 4);
  }
}

TEST_CASE(
    "evaluate: refuses norms that two stages share while it measures",
    "[evaluate][error]") {
  BatchNorm1d norm(4);
  ChoiceBlock block(Linear(4, 4), Linear(4, 4));
  Sequential net(norm, block, norm);
  const PathSpace space(net);
  const auto run = [&](const std::vector<Stage>& stages) {
    return message_of<c10::ValueError>([&] {
      evaluate(
          net,
          space,
          all_paths(space),
          small_batches(),
          norm_metric,
          EvaluateOptions().stages(stages).recalibrate_on(calibration()));
    });
  };
  CHECK(
      run({norm, block, norm}) ==
      "evaluate: expected norms that run in one stage each while their "
      "statistics are measured, got '0' in stages 0 and 2; give these stages, "
      "and all between them, as one");
  CHECK(run({}) == "(no error)");
}

TEST_CASE(
    "evaluate: statistics come back where measuring them throws",
    "[evaluate][error]") {
  StagedNet net(2);
  const PathSpace space(net);
  const auto buffers = copies_of(net.buffers());
  auto data = calibration();
  data[1][0][0] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THAT(
      message_of<c10::ValueError>([&] {
        evaluate(
            net,
            space,
            all_paths(space),
            small_batches(),
            norm_metric,
            EvaluateOptions().stages(net.stages()).recalibrate_on(data));
      }),
      Catch::Matchers::StartsWith(
          "recalibrate_batch_norm: expected finite inputs"));
  CHECK(all_bit_equal(copies_of(net.buffers()), buffers));
  CHECK(net.is_training());
}
