// SPDX-License-Identifier: MIT
#include "budget_axis.hpp"

#include "cost_units.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>

namespace gatedpaths::detail {

BudgetAxis::BudgetAxis(const ChoiceProgram& program, const BudgetLimit& limit)
    : program_(program), limit_(limit), scale_(unit_of(limit.kind)) {
  const auto& points = program.points();
  outside_ = whole_cost(limit.cost.outside(), limit.kind);
  least_.resize(points.size());
  std::vector<int64_t> longest(points.size());
  for (size_t p = 1; p < points.size(); ++p) {
    least_[p] = std::numeric_limits<int64_t>::max();
    for (const ChoiceEdge& edge : points[p]) {
      const auto target = static_cast<size_t>(edge.target);
      least_[p] = std::min(least_[p], cost_of(edge) + least_[target]);
      longest[p] = std::max(
          longest[p], longest[target] + (points[p].size() > 1 ? 1 : 0));
    }
  }
  longest_ = longest[static_cast<size_t>(program.start())];
  excess_.resize(points.size());
  int64_t divisor = 0;
  for (size_t p = 0; p < points.size(); ++p) {
    for (const ChoiceEdge& edge : points[p]) {
      excess_[p].push_back(
          cost_of(edge) + least_[static_cast<size_t>(edge.target)] - least_[p]);
      divisor = std::gcd(divisor, excess_[p].back());
    }
  }
  unit_ = std::max<int64_t>(divisor, 1);
  budget_ = whole_limit(limit.at_most, limit.kind) - outside_ -
            least_[static_cast<size_t>(program.start())];
}

int64_t BudgetAxis::cost_of(const ChoiceEdge& edge) const {
  return edge.gate < 0
             ? 0
             : whole_cost(
                   limit_.cost.branch(edge.gate, edge.branch), limit_.kind);
}

std::string BudgetAxis::smallest_text() const {
  const auto& layout = *limit_.cost.layout();
  std::vector<std::vector<int64_t>> sets(layout.gates().size());
  auto point = static_cast<size_t>(program_.start());
  while (point != 0) {
    const auto& excess = excess_[point];
    const auto& edge = program_.points()[point][static_cast<size_t>(
        std::find(excess.begin(), excess.end(), 0) - excess.begin())];
    if (edge.gate >= 0) {
      sets[static_cast<size_t>(edge.gate)].push_back(edge.branch);
    }
    point = static_cast<size_t>(edge.target);
  }
  const Path path =
      layout.make_path([&](int64_t gate, std::vector<int64_t>& open) {
        open = sets[static_cast<size_t>(gate)];
      });
  return fmt::format(
      "the smallest {} there are, {} of path '{}'",
      to_string(limit_.kind),
      limit_.cost.of(path).of(limit_.kind),
      layout.to_string(path));
}

}  // namespace gatedpaths::detail
