// SPDX-License-Identifier: MIT
// One limit of a budget in integers. Not installed.
#pragma once

#include <gatedpaths/search/budget.hpp>

#include "choice_program.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace gatedpaths::detail {

/// The costs of the edges of a program for one limit, less what the cheapest
/// way on from there costs: 0 for an edge of a cheapest way, and what it has in
/// excess otherwise. So a cheapest path has zeros alone, which no rounding
/// changes.
class BudgetAxis {
 public:
  BudgetAxis(const ChoiceProgram& program, const BudgetLimit& limit);

  /// Whether a path keeps the limit.
  bool is_feasible() const { return budget_ >= 0; }

  /// The smallest cost that there is and its path, in words.
  std::string smallest_text() const;

  /// What a path may have in excess.
  int64_t budget() const { return budget_; }

  /// By point and edge.
  const std::vector<std::vector<int64_t>>& excess() const { return excess_; }

  /// The greatest number that divides all of them, 1 at least.
  int64_t unit() const { return unit_; }

  /// How many units of the cost an integer is.
  double scale() const { return scale_; }

  /// The most edges of a path that may be rounded.
  int64_t longest() const { return longest_; }

 private:
  int64_t cost_of(const ChoiceEdge& edge) const;

  const ChoiceProgram& program_;
  const BudgetLimit& limit_;
  double scale_ = 1;
  int64_t outside_ = 0;
  std::vector<int64_t> least_;  // by point
  std::vector<std::vector<int64_t>> excess_;
  int64_t budget_ = 0;
  int64_t unit_ = 1;
  int64_t longest_ = 0;
};

}  // namespace gatedpaths::detail
