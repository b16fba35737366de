// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/search/search_history.hpp>

#include <cstddef>
#include <string>

namespace gatedpaths {

/// A picture of how a search went, as an SVG: a dot for the value of each
/// record, by its number, and the best so far as a line. What has failed has no
/// dot.
///
/// Throws: `c10::IndexError` where there is no such objective.
///
/// Example:
/// ```
/// std::ofstream("search.svg") << gatedpaths::progress_svg(history);
/// ```
GATEDPATHS_EXPORT std::string progress_svg(
    const SearchHistory& history, size_t objective = 0);

/// The regret after each record (`SearchHistory::regret`), as an SVG.
///
/// Throws: `c10::IndexError` where there is no such objective;
/// `c10::ValueError` for an optimum that is not finite.
GATEDPATHS_EXPORT std::string regret_svg(
    const SearchHistory& history, double optimum, size_t objective = 0);

/// A dot for each record, by two of its values, and the records of the Pareto
/// front (of all objectives) as a line, as an SVG.
///
/// Throws: `c10::IndexError` where there is no such objective.
GATEDPATHS_EXPORT std::string pareto_front_svg(
    const SearchHistory& history, size_t x = 1, size_t y = 0);

}  // namespace gatedpaths
