// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/space_layout.hpp>
#include <gatedpaths/search/budget.hpp>

#include <torch/arg.h>

#include <cstdint>
#include <memory>

namespace gatedpaths {
namespace detail {

class BudgetTable;
class PathProposer;

}  // namespace detail

/// How a `CountedSpace` counts.
struct CountedSpaceOptions {
  /// How many states to keep, each of which takes 24 bytes or a little more:
  /// pairs of a place in the space and what is left of the budget there. Where
  /// it would take more, costs are rounded up to buckets. Default: 2^21.
  TORCH_ARG(int64_t, max_states) = int64_t{1} << 21;
};

/// The paths of a space that keep a budget: how many there are, and each by its
/// number.
///
/// It counts by dynamic programming over the gates, nested ones included: for
/// each gate and each amount that may be left there, how many ways lead on.
/// What is left in excess of all that could follow is one amount, and what is
/// too little for the least is none, so that few remain. Costs are integers,
/// and the count is exact; a latency is one in femtoseconds.
///
/// Where that would take more than `max_states`, costs are rounded up to
/// buckets, and paths near the limit are left out: all that are counted keep
/// the budget, and all that are below a limit by its `slack` are counted.
/// `is_exact` says so.
///
/// Cheap to copy, never changes, and needs no network.
///
/// Example:
/// ```
/// gatedpaths::CountedSpace affordable(
///     gatedpaths::Budget(cost, gatedpaths::CostKind::kMacs, 300e6));
/// std::cout << affordable.size() << " of " << space.size() << " paths\n";
/// ```
class GATEDPATHS_EXPORT CountedSpace {
 public:
  /// Counts, in time in the number of states.
  ///
  /// Throws: `c10::ValueError` for a budget that no path keeps, with the
  /// smallest cost there is and its path, or that no path keeps after rounding;
  /// a space in which a gate has several places; more than six limits; options
  /// that are not positive.
  explicit CountedSpace(Budget budget, const CountedSpaceOptions& options = {});

  /// How many paths there are.
  ///
  /// Throws: `c10::ValueError` where the number needs more than 64 bits (see
  /// `log2_size`).
  uint64_t size() const;

  /// The logarithm of the number to the base 2.
  double log2_size() const noexcept;

  /// Whether each path that keeps the budget is counted.
  bool is_exact() const noexcept;

  /// How far below limit `index` of the budget a path's cost has to be, in the
  /// units of the cost, to be counted for sure; 0 where it is exact. Where
  /// there are several limits, that is needed of each.
  ///
  /// Throws: `c10::IndexError` where there is no such limit.
  double slack(int64_t index = 0) const;

  /// The path number `index`, `0 <= index < size()`; each path has one number.
  ///
  /// Throws: `c10::IndexError` for an index of `size()` or above, and as
  /// `size`.
  Path at(uint64_t index) const;

  /// What the paths keep.
  const Budget& budget() const& noexcept { return budget_; }

  /// The structure of the space.
  const std::shared_ptr<const SpaceLayout>& layout() const& noexcept {
    return budget_.layout();
  }

 private:
  friend class BudgetSampler;
  friend class detail::PathProposer;

  Budget budget_;
  std::shared_ptr<const detail::BudgetTable> table_;
};

}  // namespace gatedpaths
