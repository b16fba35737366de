// SPDX-License-Identifier: MIT
#include <gatedpaths/search/plot.hpp>

#include "support/catch.hpp"

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

namespace gatedpaths {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;

TEST_CASE("plot_svg: draws dots, a line and an area", "[search]") {
  const std::vector<PlotPoint> points = {{0, 0}, {1, 2}, {2, 1}};
  const auto plot = [&](PlotMark mark, const std::string& label) {
    return plot_svg(
        "x",
        "y",
        {{.label = label,
          .colour = "#123456",
          .mark = mark,
          .dot_size = 3,
          .points = points}});
  };
  CHECK_THAT(
      plot(PlotMark::kDots, "d"),
      ContainsSubstring("<path d=\"M80.0 345.0h0M350.0 20.0h0M620.0 182.5h0\" "
                        "stroke=\"#123456\" stroke-width=\"3\" "
                        "stroke-linecap=\"round\"/>"));
  const std::string path = "<path d=\"M80.0 345.0L350.0 20.0L620.0 182.5\" ";
  CHECK_THAT(
      plot(PlotMark::kLine, "l"),
      ContainsSubstring(path + "fill=\"none\" stroke=\"#123456\""));
  CHECK_THAT(
      plot(PlotMark::kArea, "a"),
      ContainsSubstring(path + "fill=\"#123456\" fill-opacity="));
  CHECK_THAT(plot(PlotMark::kLine, "named"), ContainsSubstring(">named<"));
  CHECK_THAT(plot(PlotMark::kLine, ""), !ContainsSubstring("y=\"14\""));
}

TEST_CASE("plot_svg: many dots stay small", "[search]") {
  std::vector<PlotPoint> points;
  for (int i = 0; i < 6561; ++i) {
    points.push_back({static_cast<double>(i % 81), static_cast<double>(i)});
  }
  CHECK(
      plot_svg("x", "y", {{.colour = "red", .points = points}}).size() <
      120'000);
}

TEST_CASE("plot_svg: a legend takes as many rows as it needs", "[search]") {
  const auto plot = [](size_t series, size_t letters) {
    return plot_svg(
        "x",
        "y",
        std::vector<PlotSeries>(
            series, {.label = std::string(letters, 'n'), .colour = "red"}));
  };
  const auto one_row = plot(3, 20);
  CHECK_THAT(one_row, ContainsSubstring("height=\"400\""));
  CHECK_THAT(one_row, ContainsSubstring("translate(0 0)"));
  CHECK_THAT(one_row, !ContainsSubstring("y=\"30\""));
  const auto two_rows = plot(4, 20);
  CHECK_THAT(two_rows, ContainsSubstring("height=\"416\""));
  CHECK_THAT(two_rows, ContainsSubstring("translate(0 16)"));
  CHECK_THAT(two_rows, ContainsSubstring("<text x=\"620\" y=\"30\""));
  // One that is too wide for any row has one to itself.
  CHECK_THAT(plot(1, 200), ContainsSubstring("height=\"400\""));
  CHECK_THAT(plot(2, 200), ContainsSubstring("height=\"416\""));
}

TEST_CASE("plot_svg: holds any numbers", "[search]") {
  const auto mark = GENERATE(PlotMark::kDots, PlotMark::kLine, PlotMark::kArea);
  const double infinite = std::numeric_limits<double>::infinity();
  const double most = std::numeric_limits<double>::max();
  for (const auto& points : std::vector<std::vector<PlotPoint>>{
           {},
           {{infinite, 1}},
           {{0, 0}},
           {{5, -3}},
           {{-most, most}, {most, -most}},
           {{1e-310, 1}, {0, 1 + 1e-16}}}) {
    const auto svg = plot_svg(
        "x",
        "y",
        {{.label = "all", .colour = "red", .mark = mark, .points = points}});
    CHECK_THAT(svg, EndsWith("</svg>\n"));
    CHECK(svg.find("nan") == std::string::npos);
    CHECK(svg.find("inf") == std::string::npos);
    CHECK(svg.size() < 10000);
  }
  CHECK_THAT(
      plot_svg("<a>\x01", "y", {}),
      ContainsSubstring(">&lt;a&gt;\\x01</text>"));
}

}  // namespace gatedpaths
