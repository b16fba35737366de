// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/exchange/space_picture.hpp>
#include <gatedpaths/export.hpp>
#include <gatedpaths/search/cost_model.hpp>
#include <gatedpaths/search/path_cost.hpp>

namespace gatedpaths {

/// What each branch adds to a path's cost, as notes for `space_svg` and
/// `space_dot`: `"1.2 M"`, `"38.4 KiB"`, `"12.5 us"`. A branch that saves
/// something (see `PathCost`) has a number below zero and no bar.
///
/// Throws: `c10::ValueError` where costs of this kind were not measured
/// (`CostModel::has`).
GATEDPATHS_EXPORT BranchNotes cost_notes(const CostModel& cost, CostKind kind);

}  // namespace gatedpaths
