// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/paths/sampler.hpp>
#include <gatedpaths/paths/space_layout.hpp>

#include <cstdint>
#include <memory>

namespace gatedpaths {

/// Draws the open set of each reached gate uniformly among all sets that its
/// bounds allow, independently of the other gates.
///
/// Where gates are nested, this is not the same as a uniform path. Take a gate
/// of two branches, the first of which holds a gate of three: here each branch
/// is open half of the time, so that the three paths through the first have 1/6
/// each, and the one through the second has 1/2. A uniform path would open the
/// first branch three times out of four. Where that is wanted, draw a number
/// below `space.size()` and take `space.at(number)`.
///
/// The gate with the number g draws at step n from a stream that is a function
/// of (seed, n, g) alone (Philox4x32-10).
///
/// Example:
/// ```
/// gatedpaths::UniformSampler sampler(space, /*seed=*/7);
/// space.apply(sampler.next());
/// sampler.at(1000);           // the path of step 1000, whatever came before
/// ```
class GATEDPATHS_EXPORT UniformSampler : public Sampler {
 public:
  /// Draws from a `PathSpace`, or from its `layout()` without a network.
  ///
  /// Throws: `c10::ValueError` for a null `layout`.
  UniformSampler(std::shared_ptr<const SpaceLayout> layout, uint64_t seed);

  /// The path of step `step`.
  Path at(uint64_t step) const override;
};

}  // namespace gatedpaths
