// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/space_layout.hpp>
#include <gatedpaths/search/cost_model.hpp>
#include <gatedpaths/search/path_cost.hpp>

#include <memory>
#include <string>
#include <vector>

namespace gatedpaths {

/// One thing that a path may cost so much of.
struct BudgetLimit {
  CostModel cost;  ///< What a path costs.
  CostKind kind;   ///< What of it is limited.
  double at_most;  ///< The most that a path may cost.
};

/// What a path may cost: a limit, or several that all have to be kept.
///
/// Example:
/// ```
/// using gatedpaths::CostKind;
/// auto budget = gatedpaths::Budget(cost, CostKind::kMacs, 300e6) &&
///               gatedpaths::Budget(cost, CostKind::kParameters, 4e6);
/// budget.admits(space.current());
/// ```
class GATEDPATHS_EXPORT Budget {
 public:
  /// At most `at_most` of `kind` (seconds for a latency, of which each part and
  /// the limit are rounded to femtoseconds).
  ///
  /// Throws: `c10::ValueError` for a limit that is NaN, a cost that was not
  /// measured, one that is measured by path, for which paths cannot be counted,
  /// or costs of 2^61 and more in all branches together (femtoseconds).
  Budget(CostModel cost, CostKind kind, double at_most);

  /// What keeps both.
  ///
  /// Throws: `c10::ValueError` for budgets of two spaces.
  friend GATEDPATHS_EXPORT Budget operator&&(Budget a, const Budget& b);

  /// Whether the path keeps all limits.
  ///
  /// Throws: `c10::ValueError` for a path of another space.
  bool admits(const Path& path) const;

  /// The limits.
  const std::vector<BudgetLimit>& limits() const& noexcept { return limits_; }

  /// The structure of the space.
  const std::shared_ptr<const SpaceLayout>& layout() const& noexcept {
    return limits_.front().cost.layout();
  }

  /// The limits in words: `macs of at most 3e+08 and parameters of at most
  /// 4e+06`.
  std::string text() const;

 private:
  std::vector<BudgetLimit> limits_;
};

}  // namespace gatedpaths
