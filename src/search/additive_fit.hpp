// SPDX-License-Identifier: MIT
// Makes a sum of parts of what runs had. Not installed.
#pragma once

#include "path_meter.hpp"

#include <array>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace gatedpaths::detail {

/// The parts, and whether they add up.
struct AdditiveFit {
  PartTallies parts;  ///< `kOutsideOfGates` is among them.
  std::array<bool, 5> adds_up{};
  std::string why_not;  ///< Empty where all do.
  /// Whether what is outside of all gates has the same operations on each path.
  bool outside_is_constant = true;
};

/// A path and what its parts had.
using MeasuredPath = std::pair<Path, PartTallies>;

/// `measure` runs a path. Runs that cover all branches, some more to hold the
/// sum against; and where the rest differs between paths, two for each branch,
/// to find out which branch it depends on.
AdditiveFit fit_parts(
    const SpaceLayout& layout,
    std::vector<MeasuredPath> runs,
    const std::function<PartTallies(const Path&)>& measure,
    const std::vector<Path>& checked);

}  // namespace gatedpaths::detail
