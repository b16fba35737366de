// SPDX-License-Identifier: MIT
#include "pareto_fronts.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

namespace gatedpaths::detail {

bool dominates(const std::vector<double>& a, const std::vector<double>& b) {
  bool is_better = false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] < b[i]) {
      return false;
    }
    is_better = is_better || a[i] > b[i];
  }
  return is_better;
}

std::vector<std::vector<size_t>> pareto_fronts(const ScoreTable& scores) {
  std::vector<std::vector<size_t>> beaten_by(scores.size());
  std::vector<size_t> beaters(scores.size());
  std::vector<size_t> front;
  for (size_t i = 0; i < scores.size(); ++i) {
    for (size_t j = 0; j < scores.size(); ++j) {
      if (dominates(scores[i], scores[j])) {
        beaten_by[i].push_back(j);
      } else if (dominates(scores[j], scores[i])) {
        ++beaters[i];
      }
    }
    if (beaters[i] == 0) {
      front.push_back(i);
    }
  }
  std::vector<std::vector<size_t>> fronts;
  while (!front.empty()) {
    std::vector<size_t> next;
    for (const size_t i : front) {
      for (const size_t j : beaten_by[i]) {
        if (--beaters[j] == 0) {
          next.push_back(j);
        }
      }
    }
    std::sort(next.begin(), next.end());
    fronts.push_back(std::exchange(front, std::move(next)));
  }
  return fronts;
}

std::vector<double> crowding_distances(
    const ScoreTable& scores, const std::vector<size_t>& front) {
  std::vector<double> distances(front.size());
  std::vector<size_t> order(front.size());
  const size_t objectives = front.empty() ? 0 : scores[front[0]].size();
  for (size_t objective = 0; objective < objectives; ++objective) {
    const auto of = [&](size_t i) { return scores[front[i]][objective]; };
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return of(a) < of(b);
    });
    const double extent = of(order.back()) - of(order.front());
    distances[order.front()] = std::numeric_limits<double>::infinity();
    distances[order.back()] = std::numeric_limits<double>::infinity();
    for (size_t i = 1; extent > 0 && i + 1 < order.size(); ++i) {
      distances[order[i]] += (of(order[i + 1]) - of(order[i - 1])) / extent;
    }
  }
  return distances;
}

}  // namespace gatedpaths::detail
