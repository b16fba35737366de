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

/// Goes through a list of paths, again and again from its start. Nothing is
/// random; the seed is 0 and has no meaning.
///
/// Example:
/// ```
/// gatedpaths::FixedSampler sampler(
///     space, {space.parse("stem=conv3x3"), space.parse("stem=conv5x5")});
/// space.apply(sampler.next());
/// ```
class GATEDPATHS_EXPORT FixedSampler : public Sampler {
 public:
  /// Goes through `paths`, which belong to this space: a `PathSpace`, or its
  /// `layout()` without a network.
  ///
  /// Throws: `c10::ValueError` for an empty list, a path of another space, and
  /// a null `layout`.
  FixedSampler(
      std::shared_ptr<const SpaceLayout> layout, std::vector<Path> paths);

  /// The path of step `step`: number `step % paths().size()` of the list.
  Path at(uint64_t step) const override;

  /// The list.
  const std::vector<Path>& paths() const& noexcept { return paths_; }
  /// \overload
  std::vector<Path> paths() const&& { return paths_; }

 private:
  std::vector<Path> paths_;
};

}  // namespace gatedpaths
