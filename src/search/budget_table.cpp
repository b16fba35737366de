// SPDX-License-Identifier: MIT
// A state is a point of the program and what is left there of each limit, cut
// to the most that any way on could take. From the end to the start, each has
// the sum of the ways of those that its edges lead to.
#include "budget_table.hpp"

#include "../text/fnv1a.hpp"
#include "budget_axis.hpp"
#include "choice_program.hpp"

#include <c10/util/Exception.h>
#include <c10/util/safe_numerics.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

namespace gatedpaths::detail {
namespace {

constexpr size_t kMostLimits = 6;
constexpr int64_t kCoarsestUnit = int64_t{1} << 62;

int64_t divided_up(int64_t value, int64_t unit) {
  return value / unit + (value % unit > 0 ? 1 : 0);
}

template <size_t limits>
class TableOf : public BudgetTable {
 public:
  TableOf(
      std::shared_ptr<const SpaceLayout> layout,
      const ChoiceProgram& program,
      const std::vector<BudgetAxis>& axes,
      int64_t max_states)
      : layout_(std::move(layout)) {
    std::vector<int64_t> units;
    units.reserve(axes.size());
    for (const BudgetAxis& axis : axes) {
      units.push_back(axis.unit());
    }
    slack_.assign(axes.size(), 0);
    int64_t factor = 1;
    while (!fill(program, axes, units, max_states)) {
      constexpr int64_t kCoarser = 4;
      TORCH_CHECK_VALUE(
          factor < int64_t{1} << 50,
          fmt::format(
              "CountedSpace: expected max_states that hold the space with the "
              "coarsest buckets, got {}",
              max_states));
      factor *= kCoarser;
      for (size_t i = 0; i < axes.size(); ++i) {
        // Nothing is above the coarsest, and all fits 64 bits.
        units[i] = std::min(units[i], kCoarsestUnit / kCoarser) * kCoarser;
        slack_[i] = static_cast<double>(units[i]) * axes[i].scale() *
                    static_cast<double>(axes[i].longest());
      }
    }
    count();
  }

  std::optional<uint64_t> size() const override {
    return exact_.empty() ? std::nullopt : std::optional(exact_[start_state()]);
  }

  double log2_size() const override {
    return static_cast<double>(std::log2(root_));
  }

  double slack(size_t limit) const override { return slack_[limit]; }

  uint64_t hash() const override { return hash_; }

  Path at(uint64_t index) const override {
    return walk([&](const Ways& ways) {
      size_t chosen = 0;
      while (index >= exact_[ways[chosen].state]) {
        index -= exact_[ways[chosen].state];
        ++chosen;
      }
      return chosen;
    });
  }

  Path draw(CounterRandom& random) const override {
    if (!exact_.empty()) {
      return at(random.below(exact_[start_state()]));
    }
    return walk([&](const Ways& ways) {
      if (ways.size() == 1) {
        return size_t{0};
      }
      long double total = 0;
      for (const Way& way : ways) {
        total += rough_[way.state];
      }
      long double left =
          static_cast<long double>(random.bits64()) * 0x1.0p-64L * total;
      size_t chosen = 0;
      while (chosen + 1 < ways.size() && left >= rough_[ways[chosen].state]) {
        left -= rough_[ways[chosen].state];
        ++chosen;
      }
      return chosen;
    });
  }

 private:
  using Key = std::array<int64_t, limits>;

  struct Edge {
    size_t target;
    int64_t gate;
    int64_t branch;
    Key cost;
  };
  struct Way {
    const Edge* edge;
    size_t state;
  };
  using Ways = std::vector<Way>;

  size_t num_points() const { return first_edge_.size() - 1; }
  size_t start_state() const { return first_state_[start_]; }

  // What is left after an edge; false where it is too dear.
  bool follow(const Key& key, const Edge& edge, Key& left) const {
    const Key& most = most_[edge.target];
    for (size_t i = 0; i < limits; ++i) {
      left[i] = key[i] - edge.cost[i];
      if (left[i] < 0) {
        return false;
      }
      left[i] = std::min(left[i], most[i]);
    }
    return true;
  }

  size_t state_of(size_t point, const Key& key) const {
    const auto begin = keys_.begin();
    const auto first = begin + static_cast<int64_t>(first_state_[point]);
    const auto last = begin + static_cast<int64_t>(first_state_[point + 1]);
    return static_cast<size_t>(std::lower_bound(first, last, key) - begin);
  }

  void set_edges(
      const ChoiceProgram& program,
      const std::vector<BudgetAxis>& axes,
      const std::vector<int64_t>& units) {
    const auto& points = program.points();
    edges_.clear();
    first_edge_.assign(1, 0);
    most_.assign(points.size(), Key{});
    for (size_t p = 0; p < points.size(); ++p) {
      for (size_t e = 0; e < points[p].size(); ++e) {
        const ChoiceEdge& from = points[p][e];
        Edge edge{static_cast<size_t>(from.target), from.gate, from.branch, {}};
        for (size_t i = 0; i < axes.size(); ++i) {
          edge.cost[i] = divided_up(axes[i].excess()[p][e], units[i]);
          most_[p][i] =
              std::max(most_[p][i], edge.cost[i] + most_[edge.target][i]);
        }
        edges_.push_back(edge);
      }
      first_edge_.push_back(edges_.size());
    }
    start_ = static_cast<size_t>(program.start());
  }

  static void make_unique(std::vector<Key>& keys) {
    std::sort(keys.begin(), keys.end());
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  }

  // Finds the states that are reached; false where they are too many.
  bool fill(
      const ChoiceProgram& program,
      const std::vector<BudgetAxis>& axes,
      const std::vector<int64_t>& units,
      int64_t max_states) {
    set_edges(program, axes, units);
    Fnv1a hash;
    Key root{};
    for (size_t i = 0; i < axes.size(); ++i) {
      root[i] = axes[i].budget() / units[i];
      hash.add(units[i]).add(root[i]);
      root[i] = std::min(root[i], most_[start_][i]);
    }
    for (const Edge& edge : edges_) {
      for (const int64_t cost : edge.cost) {
        hash.add(cost);
      }
    }
    hash_ = hash.value();

    const auto limit = static_cast<size_t>(max_states);
    std::vector<std::vector<Key>> reached(num_points());
    std::vector<size_t> unique_at(num_points(), limit / 4 + 1);
    reached[start_].push_back(root);
    size_t total = 0;
    for (size_t p = start_ + 1; p-- > 0;) {
      make_unique(reached[p]);
      total += reached[p].size();
      if (total > limit) {
        return false;
      }
      for (size_t e = first_edge_[p]; e < first_edge_[p + 1]; ++e) {
        const Edge& edge = edges_[e];
        auto& next = reached[edge.target];
        Key left;
        for (const Key& key : reached[p]) {
          if (follow(key, edge, left)) {
            next.push_back(left);
          }
        }
        if (next.size() > 2 * unique_at[edge.target]) {
          make_unique(next);
          unique_at[edge.target] = next.size();
          if (next.size() > limit) {
            return false;
          }
        }
      }
    }
    keys_.clear();
    first_state_.assign(1, 0);
    for (auto& keys : reached) {
      keys_.insert(keys_.end(), keys.begin(), keys.end());
      first_state_.push_back(keys_.size());
      keys = {};
    }
    return true;
  }

  // From the end on; `add(sum, number)` says whether the sum can be held.
  template <class Number, class Add>
  bool sum_ways(std::vector<Number>& numbers, Add add) const {
    numbers.assign(keys_.size(), 0);
    numbers[0] = 1;
    for (size_t p = 1; p < num_points(); ++p) {
      for (size_t s = first_state_[p]; s < first_state_[p + 1]; ++s) {
        for (size_t e = first_edge_[p]; e < first_edge_[p + 1]; ++e) {
          Key left;
          if (follow(keys_[s], edges_[e], left) &&
              !add(numbers[s], numbers[state_of(edges_[e].target, left)])) {
            return false;
          }
        }
      }
    }
    return true;
  }

  void count() {
    TORCH_CHECK_VALUE(
        first_state_[1] == 1,
        "CountedSpace: expected limits that a path keeps together, got some "
        "that each have paths and no path in common, or that are too tight "
        "for the buckets of so few max_states");
    sum_ways(rough_, [](long double& sum, long double number) {
      sum += number;
      return true;
    });
    root_ = rough_[start_state()];
    TORCH_CHECK_VALUE(
        std::isfinite(root_),
        "CountedSpace: expected fewer paths, got more than a floating point "
        "number holds");
    const bool fits = root_ <= 0x1.0p64L &&
                      sum_ways(exact_, [](uint64_t& sum, uint64_t number) {
                        return !c10::add_overflows(sum, number, &sum);
                      });
    (fits ? static_cast<void>(rough_ = {}) : static_cast<void>(exact_ = {}));
  }

  // The path for which `choose` takes one of the ways at each point.
  template <class Choose>
  Path walk(Choose choose) const {
    std::vector<std::pair<int64_t, int64_t>> opened;
    Ways ways;
    size_t point = start_;
    size_t state = start_state();
    while (point != 0) {
      ways.clear();
      for (size_t e = first_edge_[point]; e < first_edge_[point + 1]; ++e) {
        Key left;
        if (follow(keys_[state], edges_[e], left)) {
          const size_t next = state_of(edges_[e].target, left);
          if (exact_.empty() ? rough_[next] > 0 : exact_[next] > 0) {
            ways.push_back({&edges_[e], next});
          }
        }
      }
      const Way& way = ways[choose(ways)];
      if (way.edge->gate >= 0) {
        opened.emplace_back(way.edge->gate, way.edge->branch);
      }
      point = way.edge->target;
      state = way.state;
    }
    // What lies in a branch was opened before later branches of its gate.
    std::sort(opened.begin(), opened.end());
    auto next = opened.begin();
    return layout_->make_path([&](int64_t gate, std::vector<int64_t>& open) {
      for (; next != opened.end() && next->first == gate; ++next) {
        open.push_back(next->second);
      }
    });
  }

  std::shared_ptr<const SpaceLayout> layout_;
  std::vector<Edge> edges_;
  std::vector<size_t> first_edge_;  // by point
  std::vector<Key> most_;           // by point
  size_t start_ = 0;
  std::vector<Key> keys_;
  std::vector<size_t> first_state_;  // by point
  std::vector<long double> rough_;   // by state; one of the two is empty
  std::vector<uint64_t> exact_;
  long double root_ = 0;
  std::vector<double> slack_;
  uint64_t hash_ = 0;
};

void check_one_place(const SpaceLayout& layout) {
  for (const GateLayout& gate : layout.gates()) {
    TORCH_CHECK_VALUE(
        gate.places.size() < 2,
        fmt::format(
            "CountedSpace: expected each gate in one place, got '{}' in {}",
            gate.name,
            gate.places.size()));
  }
}

}  // namespace

std::shared_ptr<const BudgetTable> BudgetTable::make(
    const Budget& budget, int64_t max_states) {
  const auto& layout = budget.layout();
  check_one_place(*layout);
  TORCH_CHECK_VALUE(
      budget.limits().size() <= kMostLimits,
      fmt::format(
          "CountedSpace: expected at most {} limits, got {}",
          kMostLimits,
          budget.limits().size()));
  const ChoiceProgram program(*layout);
  std::vector<BudgetAxis> axes;
  for (const BudgetLimit& limit : budget.limits()) {
    const auto& axis = axes.emplace_back(program, limit);
    TORCH_CHECK_VALUE(
        axis.is_feasible(),
        fmt::format(
            "CountedSpace: expected a budget that a path keeps, got {}, which "
            "is below {}",
            budget.text(),
            axis.smallest_text()));
  }
  switch (axes.size()) {
    case 1:
      return std::make_shared<TableOf<1>>(layout, program, axes, max_states);
    case 2:
      return std::make_shared<TableOf<2>>(layout, program, axes, max_states);
    case 3:
      return std::make_shared<TableOf<3>>(layout, program, axes, max_states);
    default:
      return std::make_shared<TableOf<kMostLimits>>(
          layout, program, axes, max_states);
  }
}

}  // namespace gatedpaths::detail
