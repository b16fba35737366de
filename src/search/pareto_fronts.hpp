// SPDX-License-Identifier: MIT
// Sorting by several scores, of which large ones are good. Not installed.
#pragma once

#include <gatedpaths/export.hpp>

#include <cstddef>
#include <vector>

namespace gatedpaths::detail {

/// Scores by item and objective.
using ScoreTable = std::vector<std::vector<double>>;

/// Whether `a` is at least as good as `b` in each score, and better in one.
GATEDPATHS_EXPORT bool dominates(
    const std::vector<double>& a, const std::vector<double>& b);

/// The items by front: those that none dominates, then those that only these
/// do, and so on; ascending within a front. Deb et al. 2002, section III.A:
/// time in the number of items squared.
GATEDPATHS_EXPORT std::vector<std::vector<size_t>> pareto_fronts(
    const ScoreTable& scores);

/// How far each item of a front is from its neighbours: the sum over objectives
/// of the distance between those beside it, as a part of the front's extent;
/// infinity for the first and last in an objective. Deb et al. 2002, section
/// III.B.
GATEDPATHS_EXPORT std::vector<double> crowding_distances(
    const ScoreTable& scores, const std::vector<size_t>& front);

}  // namespace gatedpaths::detail
