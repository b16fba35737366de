// SPDX-License-Identifier: MIT
// Plots as SVG. Not installed.
#pragma once

#include <gatedpaths/export.hpp>

#include <string>
#include <vector>

namespace gatedpaths::detail {

struct PlotPoint {
  double x = 0;
  double y = 0;
};

/// Points of one kind; those that are not finite are left out.
struct PlotSeries {
  std::string label{};   ///< For the legend.
  std::string colour{};  ///< Of SVG: `"#1f77b4"`.
  bool is_line = false;  ///< Joined, in their order, or a dot each.
  std::vector<PlotPoint> points{};
};

/// Axes that hold all points, with round numbers, labels, and the series, later
/// ones above earlier ones.
GATEDPATHS_EXPORT std::string plot_svg(
    const std::string& x_label,
    const std::string& y_label,
    const std::vector<PlotSeries>& series);

}  // namespace gatedpaths::detail
