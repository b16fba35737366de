// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/gate_values.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/paths/sampler.hpp>
#include <gatedpaths/paths/space_layout.hpp>

#include <cstdint>
#include <memory>
#include <vector>

namespace gatedpaths {

namespace detail {
class ConditionalSets;
}  // namespace detail

/// Draws the open set of each reached gate by the weights of its branches,
/// independently of the other gates.
///
/// Where a gate opens one branch, each is drawn in proportion to its weight.
/// Where it may open several, the probability of a set among those that the
/// bounds allow is in proportion to the product of its members' weights (the
/// empty product of no branch is 1): doubling a weight doubles how often its
/// branch is open against how often it is closed. The weights of a gate that
/// opens a fixed number of branches may be scaled at will; otherwise larger
/// weights open more branches. A branch of weight 0 is never open.
///
/// The gate with the number g draws at step n from a stream that is a function
/// of (seed, n, g) alone. A draw takes time in the number of branches of the
/// reached gates, its logarithm where one is open.
///
/// Example:
/// ```
/// gatedpaths::WeightedSampler sampler(
///     space, /*seed=*/7, {{"stem", {1, 2, 1}}, {"cell.op", {0, 1, 3, 1}}});
/// space.apply(sampler.next());        // branch 1 of "stem" half of the time
/// ```
class GATEDPATHS_EXPORT WeightedSampler : public Sampler {
 public:
  /// Draws from a `PathSpace`, or from its `layout()` without a network, with
  /// the weights by the name of the gate, for each of its branches. A gate that
  /// is not named draws uniformly among all sets that its bounds allow.
  ///
  /// Throws: `c10::IndexError` for a gate that does not exist;
  /// `c10::ValueError` for a number of weights that is not the number of
  /// branches, a weight that is negative or not finite, and fewer weights above
  /// 0 than `min_open`, or none at all; and for a null `layout`.
  WeightedSampler(
      std::shared_ptr<const SpaceLayout> layout,
      uint64_t seed,
      const GateValues& weights);

  /// The path of step `step`.
  Path at(uint64_t step) const override;

 private:
  std::shared_ptr<const std::vector<detail::ConditionalSets>> sets_;  // by gate
};

}  // namespace gatedpaths
