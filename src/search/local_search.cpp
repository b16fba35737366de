// SPDX-License-Identifier: MIT
#include <gatedpaths/search/local_search.hpp>

#include "path_proposer.hpp"

#include <utility>

namespace gatedpaths {
namespace {

constexpr int kNeighbourDraws = 16;
constexpr int kListedNeighbours = 4096;

}  // namespace

LocalSearch::LocalSearch(
    std::shared_ptr<const SpaceLayout> layout,
    uint64_t seed,
    SearchOptions options)
    : SearchStrategy(
          "LocalSearch", std::move(layout), seed, std::move(options)) {
  check_one_objective();
}

std::optional<Path> LocalSearch::propose(uint64_t step) {
  if (place_) {
    if (auto neighbour = new_neighbour(step)) {
      return neighbour;
    }
    place_.reset();
  }
  return draw_path(step);
}

std::optional<Path> LocalSearch::new_neighbour(uint64_t step) const {
  // New ones also where repeats are allowed: a climb has to end.
  const auto is_new = [this](const Path& path) {
    return !find_known(path) && may_ask(path);
  };
  const Path& place = path_of(*place_);
  detail::CounterRandom random(
      stream(), step, static_cast<uint64_t>(detail::Lane::kMutation));
  for (int i = 0; i < kNeighbourDraws; ++i) {
    Path path = proposer().mutate(place, random);
    if (is_new(path)) {
      return path;
    }
  }
  std::vector<Path> left;
  int listed = 0;
  proposer().visit_neighbours(place, [&](Path path) {
    if (is_new(path)) {
      left.push_back(std::move(path));
    }
    return ++listed < kListedNeighbours;
  });
  if (left.empty()) {
    return std::nullopt;
  }
  return left[random.below(left.size())];
}

void LocalSearch::learn(size_t result) {
  if (!is_failure(result) && (!place_ || score(result) > score(*place_))) {
    place_ = result;
  }
}

std::vector<int64_t> LocalSearch::numbers() const {
  return {place_ ? static_cast<int64_t>(*place_) : -1};
}

bool LocalSearch::are_numbers(
    c10::IntArrayRef saved, int64_t results, int64_t /*paths*/) const {
  return saved.size() == 1 && -1 <= saved[0] && saved[0] < results;
}

void LocalSearch::set_numbers(c10::IntArrayRef saved) {
  place_ = saved[0] < 0 ? std::nullopt
                        : std::optional(static_cast<size_t>(saved[0]));
}

}  // namespace gatedpaths
