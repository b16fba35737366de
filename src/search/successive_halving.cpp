// SPDX-License-Identifier: MIT
#include <gatedpaths/search/successive_halving.hpp>

#include "path_proposer.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace gatedpaths {

SuccessiveHalving::SuccessiveHalving(
    std::shared_ptr<const SpaceLayout> layout,
    uint64_t seed,
    SearchOptions options,
    const SuccessiveHalvingOptions& halving)
    : SearchStrategy(
          "SuccessiveHalving",
          std::move(layout),
          seed,
          std::move(options),
          fmt::format(
              "min_length={}, max_length={}, reduction={}",
              halving.min_length(),
              halving.max_length(),
              halving.reduction())),
      reduction_(static_cast<size_t>(halving.reduction())) {
  check_one_objective();
  TORCH_CHECK_VALUE(
      1 <= halving.min_length() &&
          halving.min_length() <= halving.max_length() &&
          halving.reduction() >= 2,
      fmt::format(
          "SuccessiveHalving: expected 1 <= min_length <= max_length and "
          "reduction of at least 2, got {}, {} and {}",
          halving.min_length(),
          halving.max_length(),
          halving.reduction()));
  int64_t length = halving.min_length();
  lengths_.push_back(length);
  while (length <= halving.max_length() / halving.reduction()) {
    length *= halving.reduction();
    lengths_.push_back(length);
  }
  rungs_.resize(lengths_.size());
}

int64_t SuccessiveHalving::length(const Path& path) const {
  const auto number = find_known(path);
  return lengths_[number ? rung_of(*number) : 0];
}

std::optional<Path> SuccessiveHalving::propose(uint64_t step) {
  const auto& within = options().within();
  for (size_t rung = rungs_.size() - 1; rung-- > 0;) {
    const size_t places = rungs_[rung].size() / reduction_;
    for (size_t i = 0; i < places; ++i) {
      const size_t number = rungs_[rung][i].path;
      const Path& path = known_path(number);
      if (rung_of(number) == rung &&
          (!within || within->budget().admits(path))) {
        asked_rungs_.resize(std::max(asked_rungs_.size(), number + 1));
        asked_rungs_[number] = static_cast<int64_t>(rung) + 1;
        return path;
      }
    }
  }
  return draw_path(step);
}

size_t SuccessiveHalving::rung_of(size_t path) const {
  return path < asked_rungs_.size() ? static_cast<size_t>(asked_rungs_[path])
                                    : 0;
}

void SuccessiveHalving::learn(size_t result) {
  const size_t rung = rung_of(known_of(result));
  result_rungs_.push_back(static_cast<int64_t>(rung));
  enter(result, rung);
}

void SuccessiveHalving::enter(size_t result, size_t rung) {
  if (is_failure(result)) {
    return;
  }
  auto& entries = rungs_[rung];
  const Entry entry{score(result), known_of(result)};
  const auto place = std::upper_bound(
      entries.begin(), entries.end(), entry, [](const auto& a, const auto& b) {
        return a.score > b.score;
      });
  entries.insert(place, entry);
}

void SuccessiveHalving::forget() {
  asked_rungs_.clear();
  result_rungs_.clear();
  rungs_.assign(lengths_.size(), {});
}

// How many paths have a rung, those rungs, and those of the results.
std::vector<int64_t> SuccessiveHalving::numbers() const {
  std::vector<int64_t> numbers{static_cast<int64_t>(asked_rungs_.size())};
  numbers.insert(numbers.end(), asked_rungs_.begin(), asked_rungs_.end());
  numbers.insert(numbers.end(), result_rungs_.begin(), result_rungs_.end());
  return numbers;
}

bool SuccessiveHalving::are_numbers(
    c10::IntArrayRef saved, int64_t results, int64_t paths) const {
  const auto rungs = static_cast<int64_t>(lengths_.size());
  return !saved.empty() && 0 <= saved[0] && saved[0] <= paths &&
         static_cast<int64_t>(saved.size()) == 1 + saved[0] + results &&
         std::all_of(saved.begin() + 1, saved.end(), [&](int64_t rung) {
           return 0 <= rung && rung < rungs;
         });
}

void SuccessiveHalving::set_numbers(c10::IntArrayRef saved) {
  const auto* const results = saved.begin() + 1 + saved[0];
  asked_rungs_.assign(saved.begin() + 1, results);
  result_rungs_.assign(results, saved.end());
  rungs_.assign(lengths_.size(), {});
  for (size_t i = 0; i < result_rungs_.size(); ++i) {
    enter(i, static_cast<size_t>(result_rungs_[i]));
  }
}

}  // namespace gatedpaths
