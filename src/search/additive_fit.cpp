// SPDX-License-Identifier: MIT
// A branch has costs of its own, and makes others cost something outside of it:
// a layer on slots behind the gate, say. The first are seen in the runs; the
// second are differences of what is left of two paths that differ in the branch
// alone.
#include "additive_fit.hpp"

#include "cover_paths.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <set>

namespace gatedpaths::detail {
namespace {

constexpr size_t kTallies = std::tuple_size_v<Tally>;

int64_t total_of(const PartTallies& tallies, size_t kind) {
  int64_t total = 0;
  for (const auto& [place, tally] : tallies) {
    total += tally[kind];
  }
  return total;
}

class PartsFit {
 public:
  PartsFit(
      const SpaceLayout& layout,
      std::vector<MeasuredPath>& runs,
      const std::function<PartTallies(const Path&)>& measure)
      : layout_(layout), runs_(runs), measure_(measure) {}

  AdditiveFit fit() {
    find_own();
    bool is_constant = true;
    for (size_t kind = 0; kind < kTallies; ++kind) {
      for (const MeasuredPath& run : runs_) {
        is_constant =
            is_constant && rest_of(run, kind) == rest_of(runs_.front(), kind);
      }
    }
    AdditiveFit result;
    for (const MeasuredPath& run : runs_) {
      result.outside_is_constant = result.outside_is_constant &&
                                   rest_of(run, 0) == rest_of(runs_.front(), 0);
    }
    if (!is_constant) {
      find_differences();
    }
    result.parts = own_;
    for (const auto& [place, tally] : caused_) {
      for (size_t kind = 0; kind < kTallies; ++kind) {
        result.parts[place][kind] += tally[kind];
      }
    }
    const MeasuredPath& first = runs_.front();
    for (size_t kind = 0; kind < kTallies; ++kind) {
      result.parts[kOutsideOfGates][kind] =
          rest_of(first, kind) - caused_on(first.first, kind, -1);
    }
    check(result);
    return result;
  }

 private:
  // What a branch has in every run is its own. What differs is nobody's yet.
  void find_own() {
    std::set<std::pair<GatePlace, size_t>> differs;
    for (const auto& [path, tallies] : runs_) {
      for (const auto& [place, tally] : tallies) {
        if (place == kOutsideOfGates) {
          continue;
        }
        const auto [known, is_new] = own_.try_emplace(place, tally);
        for (size_t kind = 0; kind < kTallies; ++kind) {
          if (known->second[kind] != tally[kind]) {
            differs.emplace(place, kind);
          }
        }
      }
    }
    for (const auto& [place, kind] : differs) {
      own_[place][kind] = 0;
    }
    differs_ = std::move(differs);
  }

  // What a run had beside the branches' own costs.
  int64_t rest_of(const MeasuredPath& run, size_t kind) const {
    int64_t rest = total_of(run.second, kind);
    for (const auto& [place, tally] : run.second) {
      const auto own = own_.find(place);
      rest -= own == own_.end() ? 0 : own->second[kind];
    }
    return rest;
  }

  // What the branches of gates after `gate` cause on a path.
  int64_t caused_on(const Path& path, size_t kind, int64_t after) const {
    int64_t total = 0;
    for (const auto& [gate, open] : path) {
      for (const int64_t branch : open) {
        const auto found = caused_.find({gate, branch});
        if (gate > after && found != caused_.end()) {
          total += found->second[kind];
        }
      }
    }
    return total;
  }

  void find_differences() {
    // Backwards, so that what lies in a branch is known before it.
    for (int64_t gate = layout_.num_gates() - 1; gate >= 0; --gate) {
      const auto branches =
          static_cast<int64_t>(layout_.gate(gate).branch_names.size());
      for (int64_t branch = 0; branch < branches; ++branch) {
        if (const auto sets = compared_sets(gate, branch)) {
          compare(gate, branch, sets->first, sets->second);
        }
      }
    }
  }

  using OpenSet = std::vector<int64_t>;

  // Two open sets that differ in the branch: with it and without it, or, where
  // as many have to be open, with it and with the first one in its place. Then
  // the first causes nothing, and what it does is outside.
  std::optional<std::pair<OpenSet, OpenSet>> compared_sets(
      int64_t gate, int64_t branch) const {
    const GateLayout& layout = layout_.gate(gate);
    const auto branches = static_cast<int64_t>(layout.branch_names.size());
    OpenSet others;
    for (int64_t b = 0; b < branches; ++b) {
      if (b != branch) {
        others.push_back(b);
      }
    }
    OpenSet with;
    OpenSet without;
    if (layout.min_open < layout.max_open) {
      const auto kept =
          static_cast<size_t>(std::min<int64_t>(layout.min_open, branches - 1));
      without.assign(
          others.begin(), others.begin() + static_cast<int64_t>(kept));
      with = without;
    } else {
      if (branch == 0 || layout.min_open == branches) {
        return std::nullopt;
      }
      with.assign(others.begin() + 1, others.begin() + layout.min_open);
      without = with;
      without.push_back(0);
    }
    with.push_back(branch);
    std::sort(with.begin(), with.end());
    std::sort(without.begin(), without.end());
    return std::pair(std::move(with), std::move(without));
  }

  void compare(
      int64_t gate,
      int64_t branch,
      const OpenSet& with,
      const OpenSet& without) {
    const MeasuredPath& more = run(path_with(layout_, gate, with));
    const MeasuredPath& less = run(path_with(layout_, gate, without));
    Tally caused{};
    for (size_t kind = 0; kind < kTallies; ++kind) {
      caused[kind] = rest_of(more, kind) - caused_on(more.first, kind, gate) -
                     rest_of(less, kind) + caused_on(less.first, kind, gate);
    }
    caused_[{gate, branch}] = caused;
  }

  const MeasuredPath& run(const Path& path) {
    const auto known = compared_.find(path);
    if (known != compared_.end()) {
      return known->second;
    }
    return compared_.try_emplace(path, path, measure_(path)).first->second;
  }

  void check(AdditiveFit& result) {
    for (const auto& [path, run] : compared_) {
      runs_.push_back(run);
    }
    result.adds_up.fill(true);
    for (const MeasuredPath& run : runs_) {
      for (size_t kind = 0; kind < kTallies; ++kind) {
        int64_t sum = result.parts[kOutsideOfGates][kind];
        for (const auto& [gate, open] : run.first) {
          for (const int64_t branch : open) {
            sum += result.parts[{gate, branch}][kind];
          }
        }
        const int64_t actual = total_of(run.second, kind);
        if (sum != actual && result.adds_up[kind]) {
          result.adds_up[kind] = false;
          result.why_not += fmt::format(
              "{}{} of path '{}' are {}, but its parts add up to {}{}",
              result.why_not.empty() ? "" : "; ",
              to_string(kCostKinds[kind]),
              layout_.to_string(run.first),
              actual,
              sum,
              differing(kind));
        }
      }
    }
  }

  std::string differing(size_t kind) const {
    std::string text;
    for (const auto& [place, of_kind] : differs_) {
      if (of_kind == kind) {
        const GateLayout& gate = layout_.gate(place.gate);
        text += fmt::format(
            "{}'{}' of '{}'",
            text.empty() ? " (not always the same: " : ", ",
            gate.branch_names[static_cast<size_t>(place.branch)],
            gate.name);
      }
    }
    return text.empty() ? "" : text + ")";
  }

  const SpaceLayout& layout_;
  std::vector<MeasuredPath>& runs_;
  const std::function<PartTallies(const Path&)>& measure_;
  PartTallies own_;
  PartTallies caused_;
  std::set<std::pair<GatePlace, size_t>> differs_;
  std::unordered_map<Path, MeasuredPath> compared_;
};

}  // namespace

AdditiveFit fit_parts(
    const SpaceLayout& layout,
    std::vector<MeasuredPath> runs,
    const std::function<PartTallies(const Path&)>& measure,
    const std::vector<Path>& checked) {
  for (const Path& path : checked) {
    runs.emplace_back(path, measure(path));
  }
  return PartsFit(layout, runs, measure).fit();
}

}  // namespace gatedpaths::detail
