// SPDX-License-Identifier: MIT
#include <gatedpaths/search/budget.hpp>

#include "cost_units.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace gatedpaths {
namespace {

// Of all branches there are, so that no path's cost is more.
void check_whole_costs(const CostModel& cost, CostKind kind) {
  double units = std::abs(cost.outside().of(kind)) / detail::unit_of(kind);
  for (int64_t gate = 0; gate < cost.layout()->num_gates(); ++gate) {
    const auto& names = cost.layout()->gate(gate).branch_names;
    for (size_t b = 0; b < names.size(); ++b) {
      units += std::abs(cost.branch(gate, static_cast<int64_t>(b)).of(kind)) /
               detail::unit_of(kind);
    }
  }
  TORCH_CHECK_VALUE(
      units < detail::kMostUnits,
      fmt::format(
          "Budget: expected {} of less than {:.4g} in all branches together, "
          "got {:.4g}",
          to_string(kind),
          detail::kMostUnits * detail::unit_of(kind),
          units * detail::unit_of(kind)));
}

}  // namespace

Budget::Budget(CostModel cost, CostKind kind, double at_most) {
  TORCH_CHECK_VALUE(
      !std::isnan(at_most),
      fmt::format(
          "Budget: expected a number for the most {}, got {}",
          to_string(kind),
          at_most));
  TORCH_CHECK_VALUE(
      cost.has(kind),
      fmt::format(
          "Budget: expected a cost that was measured, got {}; measure it (see "
          "CostOptions)",
          to_string(kind)));
  TORCH_CHECK_VALUE(
      cost.is_additive(kind),
      fmt::format(
          "Budget: expected a cost that is the sum of its parts, got {}, which "
          "is measured by path: {}",
          to_string(kind),
          cost.why_not_additive()));
  check_whole_costs(cost, kind);
  limits_.push_back({std::move(cost), kind, at_most});
}

Budget operator&&(Budget a, const Budget& b) {
  TORCH_CHECK_VALUE(
      a.layout()->hash() == b.layout()->hash(),
      fmt::format(
          "Budget: expected two budgets of one space, got those of spaces "
          "{:#018x} and {:#018x}",
          a.layout()->hash(),
          b.layout()->hash()));
  a.limits_.insert(a.limits_.end(), b.limits_.begin(), b.limits_.end());
  return a;
}

bool Budget::admits(const Path& path) const {
  return std::all_of(
      limits_.begin(), limits_.end(), [&](const BudgetLimit& limit) {
        const CostModel& cost = limit.cost;
        static_cast<void>(cost.of(path));  // throws for one of another space
        int64_t units = detail::whole_cost(cost.outside(), limit.kind);
        for (const auto& [gate, open] : path) {
          for (const int64_t branch : open) {
            units += detail::whole_cost(cost.branch(gate, branch), limit.kind);
          }
        }
        return units <= detail::whole_limit(limit.at_most, limit.kind);
      });
}

std::string Budget::text() const {
  std::string text;
  for (const BudgetLimit& limit : limits_) {
    text += fmt::format(
        "{}{} of at most {}",
        text.empty() ? "" : " and ",
        to_string(limit.kind),
        limit.at_most);
  }
  return text;
}

}  // namespace gatedpaths
