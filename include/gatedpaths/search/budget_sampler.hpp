// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/sampler.hpp>
#include <gatedpaths/search/counted_space.hpp>

#include <cstdint>

namespace gatedpaths {

/// Draws uniformly among the paths that keep a budget, and those alone.
///
/// Nothing is drawn and thrown away: a draw goes through the gates once and
/// takes at each a branch in proportion to the number of paths that lead on
/// from there, so that one path in 10^12 within the budget is drawn as fast as
/// any. It is uniform over paths, also where gates are nested (unlike
/// `UniformSampler`, which is uniform at each gate). Up to 2^64 paths each is
/// exactly as likely as any other, above that to a relative error of 2^-50.
///
/// The path of step n is a function of (budget, seed, n) alone (Philox4x32-10).
///
/// Example:
/// ```
/// gatedpaths::BudgetSampler sampler(
///     gatedpaths::CountedSpace(
///         gatedpaths::Budget(cost, gatedpaths::CostKind::kFlops, 600e6)),
///     /*seed=*/7);
/// space.apply(sampler.next());
/// ```
class GATEDPATHS_EXPORT BudgetSampler : public Sampler {
 public:
  /// Draws from the paths of `space`.
  BudgetSampler(CountedSpace space, uint64_t seed);

  /// The path of step `step`.
  Path at(uint64_t step) const override;

  /// What it draws from.
  const CountedSpace& space() const& noexcept { return space_; }

 private:
  CountedSpace space_;
};

}  // namespace gatedpaths
