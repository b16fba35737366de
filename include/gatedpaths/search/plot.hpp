// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <string>
#include <vector>

namespace gatedpaths {

/// A place in a plot.
struct PlotPoint {
  double x = 0;  ///< To the right.
  double y = 0;  ///< Upwards.
};

/// How a plot shows points.
enum class PlotMark {
  kDots,  ///< A dot each.
  kLine,  ///< Joined, in their order.
  kArea,  ///< What they go around, in their order, as a light shade.
};

/// Points of one kind. Those that are not finite are left out.
struct PlotSeries {
  std::string label{};   ///< For the legend; none where it is empty.
  std::string colour{};  ///< Of SVG: `"#1f77b4"`.
  PlotMark mark{};       ///< How they are shown.
  double dot_size = 5;   ///< The dots' diameter in pixels, of a plot of 640.
  std::vector<PlotPoint> points{};  ///< In their order.
};

/// A plot as an SVG: axes that hold all points, with round numbers and labels,
/// a legend of as many rows as it takes, and the series, later ones above
/// earlier ones. Thousands of dots take about 16 bytes each.
///
/// Example:
/// ```
/// std::ofstream("plot.svg") << gatedpaths::plot_svg(
///     "evaluations",
///     "regret",
///     {{.label = "random",
///       .colour = "#1f77b4",
///       .mark = gatedpaths::PlotMark::kLine,
///       .points = {{1, 8.5}, {2, 3.1}, {3, 3.0}}}});
/// ```
GATEDPATHS_EXPORT std::string plot_svg(
    const std::string& x_label,
    const std::string& y_label,
    const std::vector<PlotSeries>& series);

}  // namespace gatedpaths
