// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/paths/sampler.hpp>
#include <gatedpaths/paths/space_layout.hpp>

#include <cstdint>
#include <memory>
#include <vector>

namespace gatedpaths {

/// Opens all branches of a gate equally often, not just on average: strict
/// fairness (Chu, Zhang and Xu, "FairNAS", arXiv 1907.01845).
///
/// For a gate of N branches, steps come in rounds of N: steps 0 to N - 1, N to
/// 2N - 1, and so on. In each round each branch is open exactly once, in an
/// order that is a fresh random permutation for each round, independent of the
/// other gates. A gate that opens k of its N branches opens each of them
/// exactly k times in a round; the set of any single step is still uniform
/// among all sets of k. Gates of different N have rounds of different lengths.
///
/// Nested gates: a gate inside of a branch counts the steps that reach it, and
/// is strictly fair over these, where it and all gates around it have a single
/// place, and each gate around it opens exactly one branch, or all. Inside of a
/// gate that opens some of several branches, it counts the steps that reach
/// that gate; with several places, all steps. It is then strictly fair over
/// what it counts, but over the steps that reach it only in the long run.
///
/// The paper adds up the gradients of the N paths of a round before each step
/// of the optimizer, so that their order has no effect. Stepping after each
/// path updates each branch as often, but later paths see the earlier updates.
///
/// The gate with the number g draws its round r from a stream that is a
/// function of (seed, r, g) alone. A path takes time in the number of branches
/// of the reached gates.
///
/// Example:
/// ```
/// gatedpaths::FairSampler sampler(space, /*seed=*/7);   // all gates one of 3
/// for (int i = 0; i < 3; ++i) {
///   space.apply(sampler.next());
///   loss_of(net, batch).backward();
/// }
/// optimizer.step();                  // each branch of each gate had its turn
/// ```
class GATEDPATHS_EXPORT FairSampler : public Sampler {
 public:
  /// Draws from a `PathSpace`, or from its `layout()` without a network.
  ///
  /// Throws: `c10::ValueError`, with the gate, where `min_open` and `max_open`
  /// of a gate differ: the number of open branches would not be fixed; and for
  /// a null `layout`.
  FairSampler(std::shared_ptr<const SpaceLayout> layout, uint64_t seed);

  /// The path of step `step`.
  Path at(uint64_t step) const override;

 private:
  // By gate: how many steps there are to one that the gate counts.
  std::vector<uint64_t> steps_per_count_;
};

}  // namespace gatedpaths
