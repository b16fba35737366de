// SPDX-License-Identifier: MIT
#include <gatedpaths/search/history_pictures.hpp>

#include <gatedpaths/search/plot.hpp>

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace gatedpaths {
namespace {

constexpr const char* kDotColour = "#8ab6d6";
constexpr const char* kLineColour = "#c0392b";

void check_drawn_objective(
    const SearchHistory& history, size_t objective, const char* function) {
  TORCH_CHECK_INDEX(
      objective < history.objectives().size(),
      fmt::format(
          "{}: expected an objective in [0, {}), got {}",
          function,
          history.objectives().size(),
          objective));
}

// After each record, by its number from 1.
std::vector<PlotPoint> curve_points(const std::vector<double>& values) {
  std::vector<PlotPoint> points;
  for (size_t i = 0; i < values.size(); ++i) {
    points.push_back({static_cast<double>(i + 1), values[i]});
  }
  return points;
}

PlotSeries dots_of(std::vector<PlotPoint> points) {
  return {
      .label = "each record",
      .colour = kDotColour,
      .mark = PlotMark::kDots,
      .points = std::move(points)};
}

PlotSeries line_of(const char* label, std::vector<PlotPoint> points) {
  return {
      .label = label,
      .colour = kLineColour,
      .mark = PlotMark::kLine,
      .points = std::move(points)};
}

}  // namespace

std::string progress_svg(const SearchHistory& history, size_t objective) {
  check_drawn_objective(history, objective, "progress_svg");
  std::vector<PlotPoint> dots;
  for (size_t i = 0; i < history.records().size(); ++i) {
    const auto& values = history.records()[i].values;
    if (!values.empty()) {
      dots.push_back({static_cast<double>(i + 1), values[objective]});
    }
  }
  return plot_svg(
      "records",
      history.objectives()[objective].name,
      {dots_of(std::move(dots)),
       line_of("best so far", curve_points(history.best_so_far(objective)))});
}

std::string regret_svg(
    const SearchHistory& history, double optimum, size_t objective) {
  check_drawn_objective(history, objective, "regret_svg");
  return plot_svg(
      "records",
      "regret of " + history.objectives()[objective].name,
      {line_of("regret", curve_points(history.regret(optimum, objective)))});
}

std::string pareto_front_svg(const SearchHistory& history, size_t x, size_t y) {
  check_drawn_objective(history, x, "pareto_front_svg");
  check_drawn_objective(history, y, "pareto_front_svg");
  const auto point_of = [&](const SearchRecord& record) {
    return PlotPoint{record.values[x], record.values[y]};
  };
  std::vector<PlotPoint> dots;
  for (const SearchRecord& record : history.records()) {
    if (!record.values.empty()) {
      dots.push_back(point_of(record));
    }
  }
  std::vector<PlotPoint> front;
  for (const size_t record : history.pareto_front()) {
    front.push_back(point_of(history.records()[record]));
  }
  std::sort(front.begin(), front.end(), [](const auto& a, const auto& b) {
    return a.x < b.x || (a.x == b.x && a.y < b.y);
  });
  return plot_svg(
      history.objectives()[x].name,
      history.objectives()[y].name,
      {dots_of(std::move(dots)), line_of("Pareto front", std::move(front))});
}

}  // namespace gatedpaths
