// SPDX-License-Identifier: MIT
#include <gatedpaths/search/predictor_search.hpp>

#include "path_proposer.hpp"
#include "path_regression.hpp"

#include <ATen/ops/tensor.h>
#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace gatedpaths {
namespace {

constexpr size_t kParents = 10;

}  // namespace

PredictorSearch::PredictorSearch(
    std::shared_ptr<const SpaceLayout> layout,
    uint64_t seed,
    SearchOptions options,
    const PredictorSearchOptions& predictor)
    : SearchStrategy(
          "PredictorSearch",
          std::move(layout),
          seed,
          std::move(options),
          fmt::format(
              "initial={}, candidates={}, max_results={}",
              predictor.initial(),
              predictor.candidates(),
              predictor.max_results())),
      initial_(static_cast<size_t>(predictor.initial())),
      candidates_(static_cast<size_t>(predictor.candidates())),
      max_results_(static_cast<size_t>(predictor.max_results())) {
  check_one_objective();
  TORCH_CHECK_VALUE(
      predictor.initial() >= 2 && predictor.candidates() >= 2 &&
          predictor.max_results() >= predictor.initial(),
      fmt::format(
          "PredictorSearch: expected initial and candidates of at least 2 and "
          "max_results of at least initial, got {}, {} and {}",
          predictor.initial(),
          predictor.candidates(),
          predictor.max_results()));
}

std::optional<Path> PredictorSearch::propose(uint64_t step) {
  if (results_.size() < initial_) {
    return draw_path(step);
  }
  auto paths = candidates(step);
  if (paths.empty()) {
    return draw_path(step);
  }
  std::vector<Path> told;
  std::vector<double> values;
  for (const size_t result : results_to_learn()) {
    told.push_back(path_of(result));
    values.push_back(score(result));
  }
  const auto scores = detail::normal_scores(values);
  detail::PathRegression regression(
      detail::path_features(*layout(), told), at::tensor(scores, at::kDouble));
  const auto waiting = pending();
  if (!waiting.empty()) {
    regression.believe(detail::path_features(*layout(), waiting));
  }
  const auto prediction =
      regression.predict(detail::path_features(*layout(), paths));
  const auto gains = detail::expected_improvement(
      prediction, *std::max_element(scores.begin(), scores.end()));
  const auto* gain = gains.const_data_ptr<double>();
  const auto best = std::max_element(gain, gain + paths.size()) - gain;
  return std::move(paths[static_cast<size_t>(best)]);
}

void PredictorSearch::learn(size_t result) {
  if (!is_failure(result)) {
    results_.push_back(result);
  }
}

// The best first; of equal ones what was told first.
std::vector<size_t> PredictorSearch::best_results(size_t count) const {
  auto best = results_;
  const auto end =
      best.begin() + static_cast<int64_t>(std::min(count, best.size()));
  std::partial_sort(best.begin(), end, best.end(), [&](size_t a, size_t b) {
    return score(a) > score(b) || (score(a) == score(b) && a < b);
  });
  best.erase(end, best.end());
  return best;
}

std::vector<size_t> PredictorSearch::results_to_learn() const {
  if (results_.size() <= max_results_) {
    return results_;
  }
  auto learned = best_results(max_results_ / 2);
  const auto latest = max_results_ - max_results_ / 2;
  learned.insert(
      learned.end(),
      results_.end() - static_cast<int64_t>(latest),
      results_.end());
  std::sort(learned.begin(), learned.end());
  learned.erase(std::unique(learned.begin(), learned.end()), learned.end());
  return learned;
}

std::vector<Path> PredictorSearch::candidates(uint64_t step) const {
  std::vector<Path> paths;
  std::unordered_set<Path> seen;
  const auto is_new = [&](const Path& path) {
    return may_ask(path) && !seen.contains(path);
  };
  const auto add = [&](Path path) {
    seen.insert(path);
    paths.push_back(std::move(path));
  };
  detail::CounterRandom random(
      stream(), step, static_cast<uint64_t>(detail::Lane::kMutation));
  const auto parents = best_results(kParents);
  for (size_t i = 0; i < candidates_ / 2; ++i) {
    Path path = proposer().mutate(path_of(parents[i % parents.size()]), random);
    if (random.below(2) == 0) {
      path = proposer().mutate(path, random);
    }
    if (is_new(path)) {
      add(std::move(path));
    }
  }
  for (size_t i = candidates_ / 2; i < candidates_; ++i) {
    // A stream for each; `draw_path` has the one of the strategy itself.
    auto path = proposer().draw(stream() + i + 1, step, /*known=*/0, is_new);
    if (path) {
      add(*std::move(path));
    }
  }
  return paths;
}

}  // namespace gatedpaths
