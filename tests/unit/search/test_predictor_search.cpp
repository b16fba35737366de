// SPDX-License-Identifier: MIT
#include <gatedpaths/search/predictor_search.hpp>

#include <gatedpaths/search/random_search.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "src/search/path_regression.hpp"
#include "support/catch.hpp"
#include "support/costs.hpp"
#include "support/errors.hpp"
#include "support/samplers.hpp"
#include "support/strategies.hpp"

using gatedpaths::Budget;
using gatedpaths::CostKind;
using gatedpaths::CountedSpace;
using gatedpaths::Path;
using gatedpaths::PredictorSearch;
using gatedpaths::PredictorSearchOptions;
using gatedpaths::SearchOptions;
using gatedpaths::detail::expected_improvement;
using gatedpaths::detail::normal_scores;
using gatedpaths::detail::path_features;
using gatedpaths::detail::PathRegression;
using gatedpaths::test::message_of;
using gatedpaths::test::numbered_gate;
using gatedpaths::test::search_layout;
using gatedpaths::test::search_paths;
using gatedpaths::test::search_value;
using gatedpaths::test::shared_layout;

namespace {

PredictorSearchOptions small_predictor() {
  return PredictorSearchOptions().initial(6).candidates(16).max_results(12);
}

std::unique_ptr<gatedpaths::SearchStrategy> predictor(uint64_t seed) {
  return std::make_unique<PredictorSearch>(
      search_layout(), seed, SearchOptions(), small_predictor());
}

std::vector<double> doubles_of(const at::Tensor& tensor) {
  const auto* data = tensor.const_data_ptr<double>();
  return {data, data + tensor.numel()};
}

}  // namespace

TEST_CASE("path_features: products say how alike paths are", "[search]") {
  const auto layout = shared_layout(
      {numbered_gate("a", 3, 0, 3), numbered_gate("a.in", 2, 1, 1, {{0, 2}})});
  const std::vector<Path> paths{
      layout->parse("a=0+1"),
      layout->parse("a=1"),
      layout->parse("a="),
      layout->parse("a=1+2;a.in=0"),
      layout->parse("a=1+2;a.in=1")};
  const auto features = path_features(*layout, paths);
  const auto alike = features.matmul(features.t());
  const auto likeness = [&](int64_t i, int64_t j) {
    return alike[i][j].item<double>();
  };
  using Catch::Matchers::WithinAbs;
  for (int64_t i = 0; i < 5; ++i) {
    CHECK_THAT(likeness(i, i), WithinAbs(1, 1e-15));
  }
  CHECK_THAT(likeness(0, 1), WithinAbs((std::sqrt(0.5) + 1) / 2, 1e-15));
  CHECK_THAT(likeness(0, 2), WithinAbs(0.5, 1e-15));
  CHECK_THAT(likeness(0, 3), WithinAbs(0.25, 1e-15));
  CHECK_THAT(likeness(3, 4), WithinAbs(0.5, 1e-15));
}

TEST_CASE("normal_scores: go by rank", "[search]") {
  const auto scores = normal_scores({5, -1e9, 5, 7});
  using Catch::Matchers::WithinAbs;
  // Quantiles of 1/8, 1/2 and 7/8.
  CHECK_THAT(scores[1], WithinAbs(-1.1503493803760079, 1e-12));
  CHECK_THAT(scores[0], WithinAbs(0, 1e-12));
  CHECK(scores[2] == scores[0]);
  CHECK_THAT(scores[3], WithinAbs(1.1503493803760079, 1e-12));
}

TEST_CASE("PathRegression: predicts a sum over gates", "[search]") {
  std::vector<gatedpaths::GateLayout> gates;
  for (int i = 0; i < 6; ++i) {
    gates.push_back(numbered_gate("g" + std::to_string(i), 3, 1, 1));
  }
  const auto layout = shared_layout(std::move(gates));
  gatedpaths::RandomSearch random(layout, 5);
  const auto paths = random.ask(200);
  std::vector<double> values;
  double mean = 0;
  for (const Path& path : paths) {
    values.push_back(search_value(path));
    mean += values.back() / 200;
  }
  for (double& value : values) {
    value -= mean;
  }
  const auto features = path_features(*layout, paths);
  const auto targets = at::tensor(values, at::kDouble);
  PathRegression regression(
      features.slice(0, 0, 100), targets.slice(0, 0, 100));
  const auto known = regression.predict(features.slice(0, 0, 100));
  const auto others = regression.predict(features.slice(0, 100));
  const auto error = (others.mean - targets.slice(0, 100));
  // A twentieth of the variance is left.
  CHECK(
      error.square().mean().item<double>() <
      targets.square().mean().item<double>() / 20);
  CHECK(
      known.deviation.max().item<double>() <
      others.deviation.min().item<double>());

  // What is believed changes no mean, and makes certain.
  regression.believe(features.slice(0, 100, 110));
  const auto after = regression.predict(features.slice(0, 100));
  CHECK(after.mean.allclose(others.mean, 1e-3, 1e-2));
  CHECK((after.deviation <= others.deviation + 1e-9).all().item<bool>());
  CHECK(
      after.deviation[3].item<double>() <
      others.deviation[3].item<double>() / 2);
}

TEST_CASE("PathRegression: holds for values that are all equal", "[search]") {
  const auto layout = search_layout();
  const std::vector<Path> paths{layout->at(0), layout->at(7), layout->at(19)};
  const auto features = path_features(*layout, paths);
  const PathRegression regression(features, at::zeros({3}, at::kDouble));
  const auto prediction = regression.predict(features);
  CHECK(doubles_of(prediction.mean) == std::vector{0.0, 0.0, 0.0});
  CHECK(prediction.deviation.isfinite().all().item<bool>());
}

TEST_CASE("expected_improvement: is that of a normal law", "[search]") {
  const auto gains = doubles_of(expected_improvement(
      {at::tensor({1.0, 0.0, -9.0}, at::kDouble),
       at::tensor({1e-9, 2.0, 1.0}, at::kDouble)},
      /*best=*/0.5));
  using Catch::Matchers::WithinAbs;
  CHECK_THAT(gains[0], WithinAbs(0.5, 1e-9));
  // 2 * (pdf(-0.25) - 0.25 * cdf(-0.25)).
  CHECK_THAT(gains[1], WithinAbs(0.5726896, 1e-6));
  CHECK(gains[2] >= 0);
  CHECK(gains[2] < 1e-15);
}

TEST_CASE("PredictorSearch: asks for each path once", "[search]") {
  gatedpaths::test::check_asks_for_all(predictor, 135);
}

TEST_CASE(
    "PredictorSearch: is a function of seed, asks and tells",
    "[search][random]") {
  gatedpaths::test::check_is_a_function_of_the_seed(predictor);
}

TEST_CASE(
    "PredictorSearch: goes on exactly from what it saved",
    "[search][serialize]") {
  gatedpaths::test::check_goes_on_exactly(predictor);
}

TEST_CASE("PredictorSearch: finds the best of 6561 soon", "[search]") {
  std::vector<gatedpaths::GateLayout> gates;
  for (int i = 0; i < 8; ++i) {
    gates.push_back(numbered_gate("g" + std::to_string(i), 3, 1, 1));
  }
  const auto layout = shared_layout(std::move(gates));
  PredictorSearch strategy(layout, 7);
  double best = 0;
  for (int i = 0; i < 60; ++i) {
    const auto path = strategy.ask()[0];
    best = std::max(best, search_value(path));
    strategy.tell(path, {search_value(path)});
  }
  CHECK(
      best ==
      search_value(layout->parse("g0=2;g1=2;g2=2;g3=2;g4=2;g5=2;g6=2;g7=2")));
}

TEST_CASE("PredictorSearch: keeps to a budget", "[search]") {
  const auto layout = search_layout();
  const auto cost = gatedpaths::test::made_up_macs(
      layout, [](int64_t, int64_t branch) { return branch; });
  const CountedSpace space(Budget(cost, CostKind::kMacs, 3));
  PredictorSearch strategy(
      layout, 5, SearchOptions().within(space), small_predictor());
  const auto texts = search_paths(strategy, 1000);
  CHECK(texts.size() == 45);
  for (const auto& text : texts) {
    CHECK(space.budget().admits(layout->parse(text)));
  }
}

TEST_CASE(
    "PredictorSearch: refuses options outside of their ranges",
    "[search][error]") {
  CHECK(
      message_of<c10::ValueError>([] {
        PredictorSearch(
            search_layout(),
            5,
            SearchOptions(),
            small_predictor().max_results(5));
      }) ==
      "PredictorSearch: expected initial and candidates of at least 2 and "
      "max_results of at least initial, got 6, 16 and 5");
}
