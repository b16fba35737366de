// SPDX-License-Identifier: MIT
#include <gatedpaths/search/budget.hpp>

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace gatedpaths {

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
        return limit.cost.of(path).of(limit.kind) <= limit.at_most;
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
