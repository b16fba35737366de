// SPDX-License-Identifier: MIT
#include <gatedpaths/search/nsga2.hpp>

#include "pareto_fronts.hpp"
#include "path_proposer.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace gatedpaths {
namespace {

constexpr int kChildren = 16;

int64_t gates_with_choice(
    const detail::PathProposer& proposer, const Path& path) {
  int64_t count = 0;
  for (const int64_t gate : path.gates()) {
    count += proposer.can_change(gate) ? 1 : 0;
  }
  return count;
}

Path make_child(
    const SpaceLayout& layout,
    const detail::PathProposer& proposer,
    const Path& first,
    const Path& second,
    detail::CounterRandom& random) {
  const auto choices = gates_with_choice(proposer, first);
  const double change = 1 / static_cast<double>(std::max<int64_t>(choices, 1));
  return layout.make_path([&](int64_t gate, std::vector<int64_t>& open) {
    const bool has_first = first.reaches(gate);
    const bool has_second = second.reaches(gate);
    if (!has_first && !has_second) {
      proposer.draw_set(gate, random, open);
      return;
    }
    const bool of_first = has_first && (!has_second || random.below(2) == 0);
    open = (of_first ? first : second).open_branches(gate).vec();
    if (proposer.can_change(gate) && random.uniform() < change) {
      const auto before = open;
      do {
        open.clear();
        proposer.draw_set(gate, random, open);
      } while (open == before);
    }
  });
}

}  // namespace

Nsga2::Nsga2(
    std::shared_ptr<const SpaceLayout> layout,
    uint64_t seed,
    SearchOptions options,
    const Nsga2Options& nsga2)
    : SearchStrategy(
          "Nsga2",
          std::move(layout),
          seed,
          std::move(options),
          fmt::format(
              "population_size={}, crossover={}",
              nsga2.population_size(),
              nsga2.crossover())),
      population_size_(static_cast<size_t>(nsga2.population_size())),
      crossover_(nsga2.crossover()) {
  TORCH_CHECK_VALUE(
      nsga2.population_size() >= 1 && 0 <= crossover_ && crossover_ <= 1,
      fmt::format(
          "Nsga2: expected population_size of at least 1 and crossover in "
          "[0, 1], got {} and {}",
          nsga2.population_size(),
          crossover_));
}

std::optional<Path> Nsga2::propose(uint64_t step) {
  if (parents_.empty()) {
    return draw_path(step);
  }
  detail::CounterRandom random(
      stream(), step, static_cast<uint64_t>(detail::Lane::kChoice));
  const auto draw = [&]() -> const Path& {
    const Parent& a = parents_[random.below(parents_.size())];
    const Parent& b = parents_[random.below(parents_.size())];
    const bool b_wins =
        b.front < a.front || (b.front == a.front && b.crowding > a.crowding);
    return path_of((b_wins ? b : a).result);
  };
  const Path* first = nullptr;
  for (int i = 0; i < kChildren; ++i) {
    first = &draw();
    const Path& second = random.uniform() < crossover_ ? draw() : *first;
    Path child = make_child(*layout(), proposer(), *first, second, random);
    if (may_ask(child)) {
      return child;
    }
  }
  return mutate_path(*first, step);
}

void Nsga2::learn(size_t result) {
  if (is_failure(result)) {
    return;
  }
  children_.push_back(result);
  if (children_.size() >= population_size_) {
    choose_parents();
  }
}

void Nsga2::forget() {
  parents_.clear();
  children_.clear();
}

void Nsga2::choose_parents() {
  std::map<size_t, size_t> last;  // by path
  for (const Parent& parent : parents_) {
    last[known_of(parent.result)] = parent.result;
  }
  for (const size_t child : children_) {
    last[known_of(child)] = child;
  }
  std::vector<size_t> results;
  for (const auto& entry : last) {
    results.push_back(entry.second);
  }
  std::sort(results.begin(), results.end());
  detail::ScoreTable scores;
  for (const size_t result : results) {
    auto& of_result = scores.emplace_back();
    for (size_t i = 0; i < num_objectives(); ++i) {
      of_result.push_back(score(result, i));
    }
  }

  parents_.clear();
  children_.clear();
  const auto fronts = detail::pareto_fronts(scores);
  for (size_t front = 0;
       front < fronts.size() && parents_.size() < population_size_;
       ++front) {
    const auto crowding = detail::crowding_distances(scores, fronts[front]);
    std::vector<Parent> members;
    for (size_t i = 0; i < crowding.size(); ++i) {
      members.push_back({results[fronts[front][i]], front, crowding[i]});
    }
    std::stable_sort(
        members.begin(), members.end(), [](const auto& a, const auto& b) {
          return a.crowding > b.crowding;
        });
    members.resize(
        std::min(members.size(), population_size_ - parents_.size()));
    parents_.insert(parents_.end(), members.begin(), members.end());
  }
}

}  // namespace gatedpaths
