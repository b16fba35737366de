// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/gate_values.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/paths/sampler.hpp>
#include <gatedpaths/paths/space_layout.hpp>

#include <concepts>
#include <cstdint>
#include <memory>
#include <vector>

namespace gatedpaths {

/// Goes through the largest path, the smallest path, and some random ones,
/// again and again: the sandwich rule (Yu and Huang, "Universally slimmable
/// networks", arXiv 1903.05134; also BigNAS, arXiv 2003.11142).
///
/// The size of a path is the sum of the sizes of its open branches. The size of
/// a branch is the number of parameters of its module, but for those inside the
/// branches of gates that lie in it: these are branches themselves, of which a
/// path opens some. Or it is whatever number is given, multiplications or
/// measured milliseconds, of what the branch runs beside such gates.
///
/// The largest path opens `max_open` branches in each reached gate, and is of
/// the largest size among those; the smallest path opens `min_open` and is of
/// the smallest. Of equal branches, those of lower index are open. A gate with
/// several places counts in each of them. A random path is one as
/// `UniformSampler` draws it.
///
/// In the papers each step of the optimizer takes the gradients of a whole
/// cycle. The gate with the number g draws at step n, where that is a random
/// one, from a stream that is a function of (seed, n, g) alone.
///
/// Example:
/// ```
/// gatedpaths::SandwichSampler sampler(space, /*seed=*/7);
/// for (uint64_t i = 0; i < sampler.cycle(); ++i) {
///   space.apply(sampler.next());       // largest, smallest, random, random
///   loss_of(net, batch).backward();
/// }
/// optimizer.step();
/// ```
class GATEDPATHS_EXPORT SandwichSampler : public Sampler {
 public:
  /// Draws from this space; each cycle has two random paths. The sizes of the
  /// branches are those that they have now.
  SandwichSampler(const PathSpace& space, uint64_t seed);

  /// The same, where each cycle has `random_paths` random paths.
  ///
  /// Throws: `c10::ValueError` for a negative `random_paths`.
  template <std::integral N>
  SandwichSampler(const PathSpace& space, uint64_t seed, N random_paths)
      : SandwichSampler(
            space.layout(),
            seed,
            parameters_of(space),
            static_cast<int64_t>(random_paths)) {}

  /// Draws from the space of this structure, without a network. `sizes` holds
  /// the sizes of the branches by the name of the gate; those of a gate that is
  /// not named are all 0. `{}` names none.
  ///
  /// Throws: `c10::IndexError` for a gate that does not exist;
  /// `c10::ValueError` for a number of sizes that is not the number of
  /// branches, a size that is negative or not finite, a null `layout`, or a
  /// negative `random_paths`.
  SandwichSampler(
      std::shared_ptr<const SpaceLayout> layout,
      uint64_t seed,
      const GateValues& sizes,
      int64_t random_paths = 2);

  /// The path of step `step`: the largest where `step % cycle()` is 0, the
  /// smallest where it is 1, else a random one.
  Path at(uint64_t step) const override;

  /// The steps of a cycle: two and the random paths.
  uint64_t cycle() const noexcept { return cycle_; }

  /// The largest path.
  Path largest() const;

  /// The smallest path.
  Path smallest() const;

 private:
  using OpenSets = std::vector<std::vector<int64_t>>;  // by gate

  static GateValues parameters_of(const PathSpace& space);
  Path path_of(const OpenSets& sets) const;

  uint64_t cycle_ = 0;
  OpenSets largest_;
  OpenSets smallest_;
};

}  // namespace gatedpaths
