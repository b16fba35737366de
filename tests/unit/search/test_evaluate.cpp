// SPDX-License-Identifier: MIT
#include <gatedpaths/search/evaluate.hpp>

#include <c10/core/InferenceMode.h>
#include <torch/nn/modules/linear.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/evaluated_net.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::evaluate;
using gatedpaths::EvaluateOptions;
using gatedpaths::EvaluationBatch;
using gatedpaths::EvaluationProgress;
using gatedpaths::NonFinite;
using gatedpaths::Path;
using gatedpaths::PathMetric;
using gatedpaths::PathResult;
using gatedpaths::PathSpace;
using gatedpaths::Stage;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::all_paths;
using gatedpaths::test::copies_of;
using gatedpaths::test::message_of;
using gatedpaths::test::small_batches;
using gatedpaths::test::StagedNet;

namespace {

const PathMetric kSquareError(
    "square_error",
    [](const torch::Tensor& output, const torch::Tensor& target) {
      return (output - target).square().mean();
    });

// What evaluate promises, one path after the other.
std::vector<double> mean_square_errors(
    StagedNet& net,
    const PathSpace& space,
    const std::vector<Path>& paths,
    const std::vector<EvaluationBatch>& batches) {
  const torch::NoGradGuard no_grad;
  net.eval();
  std::vector<double> errors;
  for (const Path& path : paths) {
    space.apply(path);
    double sum = 0;
    double samples = 0;
    for (const auto& batch : batches) {
      const auto count = static_cast<double>(batch.data.size(0));
      sum += count *
             kSquareError.of_output()(net.forward(batch.data), batch.target)
                 .item<double>();
      samples += count;
    }
    errors.push_back(sum / samples);
  }
  net.clear();
  return errors;
}

std::vector<double> first_values(const std::vector<PathResult>& results) {
  std::vector<double> values;
  for (const auto& result : results) {
    values.push_back(result.values.at(0));
  }
  return values;
}

std::string refusal(
    StagedNet& net,
    const PathSpace& space,
    const std::vector<Path>& paths,
    const std::vector<EvaluationBatch>& batches,
    const PathMetric& metric = kSquareError,
    const EvaluateOptions& options = {}) {
  return message_of<c10::ValueError>(
      [&] { evaluate(net, space, paths, batches, metric, options); });
}

}  // namespace

TEST_CASE(
    "evaluate: results are means over samples in the order of the paths",
    "[evaluate]") {
  StagedNet net(2);
  const PathSpace space(net);
  auto paths = all_paths(space);
  std::reverse(paths.begin(), paths.end());
  const auto batches = small_batches();
  const auto expected = mean_square_errors(net, space, paths, batches);
  const auto check = [&](const EvaluateOptions& options) {
    const auto results =
        evaluate(net, space, paths, batches, kSquareError, options);
    CHECK(first_values(results) == expected);
    for (size_t i = 0; i < results.size(); ++i) {
      CHECK(results[i].index == i);
      CHECK(results[i].path == paths[i]);
    }
  };
  SECTION("of the whole network") { check({}); }
  SECTION("of stages") { check(EvaluateOptions().stages(net.stages())); }
  SECTION("some paths at once") {
    check(EvaluateOptions().stages(net.stages()).paths_at_once(2));
  }
  SECTION("in inference mode") {
    const c10::InferenceMode inference;
    check(EvaluateOptions().stages(net.stages()));
  }
}

TEST_CASE(
    "evaluate: a stage runs again only where a gate up to it changed",
    "[evaluate]") {
  StagedNet net(3);
  const PathSpace space(net);
  const auto paths = all_paths(space);
  const std::vector<EvaluationBatch> batches = {small_batches().front()};
  const auto expected = mean_square_errors(net, space, paths, batches);

  std::vector<Stage> stages;
  SECTION("of modules") { stages = net.stages(); }
  SECTION("of functions") {
    stages.emplace_back(
        [&](const torch::Tensor& x) { return net.stem->forward(x); });
    for (auto& block : net.blocks) {
      stages.emplace_back(
          [&](const torch::Tensor& x) { return block->forward(x); });
    }
    stages.emplace_back(
        [&](const torch::Tensor& x) { return net.head->forward(x); });
  }
  const auto results = evaluate(
      net,
      space,
      paths,
      batches,
      kSquareError,
      EvaluateOptions().stages(stages).check_stages(false));
  CHECK(first_values(results) == expected);
  // And one run of each to see which gates run in it.
  CHECK(net.stem_log->log.size() == 1 + 1);
  CHECK(net.runs(0) == 1 + 3);
  CHECK(net.runs(1) == 1 + 9);
  CHECK(net.runs(2) == 1 + 27);
  CHECK(net.forwards == 0);
}

TEST_CASE("evaluate: a path that is given twice runs once", "[evaluate]") {
  StagedNet net(1);
  const PathSpace space(net);
  const std::vector<Path> paths = {
      space.at(1), space.at(0), space.at(1), space.at(1)};
  const auto results =
      evaluate(net, space, paths, small_batches(), kSquareError);
  REQUIRE(results.size() == 4);
  CHECK(results[0].values == results[2].values);
  CHECK(results[0].values == results[3].values);
  CHECK(results[0].values != results[1].values);
  CHECK(net.forwards == 1 + 2 * 2);
}

TEST_CASE(
    "evaluate: the network is left as it was, also where a metric throws",
    "[evaluate]") {
  StagedNet net(2);
  const PathSpace space(net);
  space.apply(space.at(4));
  net.train();
  net.blocks[1]->eval();
  const auto path = space.current();
  const auto batches = small_batches();
  net.forward(batches[0].data).sum().backward();
  const auto buffers = copies_of(net.buffers());
  const auto gradients = copies_of(gatedpaths::test::gradients_of(net));
  const bool throws = GENERATE(false, true);
  int calls = 0;
  const auto metric = [&](const torch::Tensor& output, const torch::Tensor&) {
    CHECK(!net.is_training());
    CHECK(!net.blocks[0]->is_training());
    CHECK(c10::InferenceMode::is_enabled());
    CHECK(!output.requires_grad());
    if (throws && ++calls == 5) {
      throw std::runtime_error("enough");
    }
    return 1.0;
  };
  const auto options = EvaluateOptions().stages(net.stages());
  if (throws) {
    CHECK_THROWS_AS(
        evaluate(net, space, all_paths(space), batches, metric, options),
        std::runtime_error);
  } else {
    evaluate(net, space, all_paths(space), batches, metric, options);
  }
  CHECK(net.is_training());
  CHECK(!net.blocks[1]->is_training());
  CHECK(net.blocks[0]->is_training());
  CHECK(space.current() == path);
  CHECK(all_bit_equal(copies_of(net.buffers()), buffers));
  CHECK(
      all_bit_equal(copies_of(gatedpaths::test::gradients_of(net)), gradients));
  net.forward(batches[0].data).sum().backward();  // no inference tensor is left
}

TEST_CASE("evaluate: results come as they are there", "[evaluate]") {
  StagedNet net(2);
  const PathSpace space(net);
  const auto paths = all_paths(space);
  const auto batches = small_batches();
  std::vector<size_t> seen;
  std::vector<EvaluationProgress> progress;
  std::stop_source stop;
  size_t stop_after = 0;
  auto options = EvaluateOptions()
                     .stages(net.stages())
                     .paths_at_once(3)
                     .stop(stop.get_token())
                     .on_result([&](const PathResult& result) {
                       seen.push_back(result.index);
                       if (seen.size() == stop_after) {
                         stop.request_stop();
                       }
                     })
                     .on_progress([&](const EvaluationProgress& now) {
                       progress.push_back(now);
                     });
  SECTION("all") {
    evaluate(net, space, paths, batches, kSquareError, options);
    CHECK(seen == std::vector<size_t>{0, 1, 2, 3, 4, 5, 6, 7, 8});
    REQUIRE(progress.size() == 18);
    CHECK(progress[2].paths_done == 0);
    CHECK(progress[3].paths_done == 1);
    CHECK(progress[3].paths_total == 9);
    CHECK(progress[3].runs_done == 4);
    CHECK(progress[3].runs_total == 18);
    CHECK(progress[3].seconds > 0);
    CHECK(progress[3].seconds_left > 0);
    CHECK(progress[3].paths_per_second > 0);
    CHECK(progress.back().seconds_left == 0);
    CHECK(progress.back().paths_done == 9);
  }
  SECTION("until a stop is requested") {
    stop_after = 4;
    const auto results =
        evaluate(net, space, paths, batches, kSquareError, options);
    REQUIRE(results.size() == 4);
    CHECK(results.back().index == 3);
    CHECK(
        first_values(results) ==
        mean_square_errors(
            net, space, {paths.begin(), paths.begin() + 4}, batches));
  }
  SECTION("none after a stop") {
    stop.request_stop();
    CHECK(evaluate(net, space, paths, batches, kSquareError, options).empty());
    CHECK(net.forwards == 0);
  }
}

TEST_CASE("evaluate: a metric may have several numbers", "[evaluate]") {
  StagedNet net(1);
  const PathSpace space(net);
  const auto batches = small_batches();
  const PathMetric metric(
      {"mean", "largest"},
      [](const torch::Tensor& output, const torch::Tensor&) {
        return torch::stack({output.mean(), output.max()});
      });
  const auto results = evaluate(net, space, {space.at(2)}, batches, metric);
  net.eval();
  space.apply(space.at(2));
  const auto a = net.forward(batches[0].data);
  const auto b = net.forward(batches[1].data);
  REQUIRE(results[0].values.size() == 2);
  CHECK(
      results[0].values[1] ==
      Catch::Approx((8 * a.max() + 3 * b.max()).item<double>() / 11));

  CHECK(
      refusal(
          net,
          space,
          {space.at(2)},
          batches,
          PathMetric(
              {"mean", "largest"},
              [](const torch::Tensor&, const torch::Tensor&) {
                return 1.0;
              })) ==
      "evaluate: expected a metric of 2 values, got [] Double for the path "
      "'block0=c'");
  CHECK(
      message_of<c10::ValueError>([] {
        PathMetric({"a", "a"}, [](const torch::Tensor&, const torch::Tensor&) {
          return 1.0;
        });
      }) ==
      "PathMetric: expected different names that are not empty, got ('a', "
      "'a')");
}

TEST_CASE("evaluate: what is not finite is refused or recorded", "[evaluate]") {
  StagedNet net(1);
  const PathSpace space(net);
  auto batches = small_batches();
  batches[1].target[0][0] = std::numeric_limits<float>::quiet_NaN();
  CHECK(
      refusal(net, space, {space.at(0)}, batches) ==
      "evaluate: expected a finite 'square_error', got nan for the path "
      "'block0=a' on batch 1; NonFinite::kRecord takes it as it is");
  const auto results = evaluate(
      net,
      space,
      {space.at(0)},
      batches,
      kSquareError,
      EvaluateOptions().non_finite(NonFinite::kRecord));
  CHECK(std::isnan(results[0].values[0]));
}

TEST_CASE("evaluate: refuses what cannot be evaluated", "[evaluate][error]") {
  StagedNet net(1);
  const PathSpace space(net);
  const auto batches = small_batches();
  const auto paths = all_paths(space);
  CHECK(
      refusal(net, space, {}, batches) ==
      "evaluate: expected at least one path, got none");
  CHECK(
      refusal(net, space, paths, {}) ==
      "evaluate: expected at least one batch, got none");
  CHECK(
      refusal(net, space, paths, {batches[0], {torch::zeros({0, 4}), {}}}) ==
      "evaluate: expected batches of at least one sample, got data of [0, 4] "
      "Float in batch 1");
  CHECK(
      refusal(
          net,
          space,
          paths,
          batches,
          kSquareError,
          EvaluateOptions().paths_at_once(0)) ==
      "evaluate: expected paths_at_once >= 1, got 0");

  StagedNet other(2);
  const PathSpace space_of_other(other);
  CHECK_THAT(
      refusal(net, space, {paths[0], space_of_other.at(0)}, batches),
      Catch::Matchers::StartsWith("evaluate: expected paths of the space 0x") &&
          Catch::Matchers::EndsWith("as path 1"));
  CHECK(
      refusal(net, space_of_other, {space_of_other.at(0)}, batches) ==
      "evaluate: expected a space of the network, got one whose gate 'block0' "
      "is none of its modules");

  torch::nn::Module& untyped = net;
  CHECK(
      message_of<c10::ValueError>(
          [&] { evaluate(untyped, space, paths, batches, kSquareError); }) ==
      "evaluate: expected a network with a forward of one tensor, or stages, "
      "got neither");
  CHECK(message_of<c10::ValueError>([&] {
          evaluate(
              torch::nn::Linear(nullptr), space, paths, batches, kSquareError);
        }) == "evaluate: expected a network, got none");
  CHECK(net.forwards == 0);
}
