// SPDX-License-Identifier: MIT
#include <gatedpaths/search/plot.hpp>

#include "../text/xml_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>

namespace gatedpaths {
namespace {

// In pixels: the picture, and the rectangle between the axes.
constexpr int kWidth = 640;
constexpr int kHeight = 400;
constexpr int kLeft = 80;
constexpr int kRight = 620;
constexpr int kTop = 20;
constexpr int kBottom = 345;

// In pixels, too.
constexpr int kLegendRow = 16;
constexpr int kLegendLetter = 8;  // more than most of them take
constexpr int kLegendGap = 12;

struct PlotTick {
  double at;  // in pixels
  std::string text;
};

// Halves, so that no difference of two finite numbers is infinite.
class PlotAxis {
 public:
  PlotAxis(double from, double to) : from_(from), to_(to) {}

  void hold(double value) {
    least_ = is_empty_ ? value : std::min(least_, value);
    most_ = is_empty_ ? value : std::max(most_, value);
    is_empty_ = false;
  }

  void finish() {
    if (is_empty_) {
      most_ = 1;
    } else if (least_ == most_) {
      const double room = std::max(std::abs(least_) / 100, 1e-300);
      least_ -= room;
      most_ += room;
    }
  }

  double place(double value) const {
    return from_ + (to_ - from_) * ((value / 2 - least_ / 2) / half());
  }

  std::vector<PlotTick> ticks() const {
    // 1, 2 or 5 times a power of ten, for three to eight of them.
    const double rough = half() * 0.4;
    double step = std::max(
        std::pow(10, std::floor(std::log10(rough))),
        std::numeric_limits<double>::min());
    step *= rough >= 5 * step ? 5 : (rough >= 2 * step ? 2 : 1);
    std::vector<PlotTick> ticks;
    const double first = std::ceil(least_ / step);
    for (int i = 0; i < 12; ++i) {
      const double value = (first + i) * step;
      if (!(value <= most_)) {
        break;
      }
      ticks.push_back({place(value), fmt::format("{:.6g}", value)});
    }
    return ticks;
  }

 private:
  double half() const { return most_ / 2 - least_ / 2; }

  double from_;
  double to_;
  double least_ = 0;
  double most_ = 0;
  bool is_empty_ = true;
};

bool is_finite(const PlotPoint& point) {
  return std::isfinite(point.x) && std::isfinite(point.y);
}

struct PlotWriter {
  template <class... Args>
  void line(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(
        std::back_inserter(text), format, std::forward<Args>(args)...);
    text += '\n';
  }

  std::string text;
};

void draw_axes(
    PlotWriter& out,
    const PlotAxis& x,
    const PlotAxis& y,
    const std::string& x_label,
    const std::string& y_label) {
  for (const auto& [at, text] : x.ticks()) {
    out.line(
        R"(<path d="M{0:.1f} {1}V{2}" stroke="#ddd"/>)", at, kTop, kBottom);
    out.line(
        R"(<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>)",
        at,
        kBottom + 16,
        text);
  }
  for (const auto& [at, text] : y.ticks()) {
    out.line(
        R"(<path d="M{1} {0:.1f}H{2}" stroke="#ddd"/>)", at, kLeft, kRight);
    out.line(
        R"(<text x="{}" y="{:.1f}" text-anchor="end">{}</text>)",
        kLeft - 6,
        at + 4,
        text);
  }
  out.line(
      R"(<path d="M{} {}V{}H{}" fill="none" stroke="#444"/>)",
      kLeft,
      kTop,
      kBottom,
      kRight);
  out.line(
      R"(<text x="{}" y="{}" text-anchor="middle">{}</text>)",
      (kLeft + kRight) / 2,
      kBottom + 38,
      detail::xml_text(x_label));
  out.line(
      R"(<text x="16" y="{0}" text-anchor="middle" )"
      R"svg(transform="rotate(-90 16 {0})">{1}</text>)svg",
      (kTop + kBottom) / 2,
      detail::xml_text(y_label));
}

/// The points' places: the first after `first`, the others after `next`.
std::string places_of(
    const PlotAxis& x,
    const PlotAxis& y,
    const PlotSeries& series,
    const char* first,
    const char* next,
    const char* end) {
  std::string places;
  for (const PlotPoint& point : series.points) {
    if (is_finite(point)) {
      places += fmt::format(
          "{}{:.1f} {:.1f}{}",
          places.empty() ? first : next,
          x.place(point.x),
          y.place(point.y),
          end);
    }
  }
  return places;
}

void draw_series(
    PlotWriter& out,
    const PlotAxis& x,
    const PlotAxis& y,
    const PlotSeries& series) {
  switch (series.mark) {
    case PlotMark::kDots:
      // Lines without a length, of which the ends are round: a dot takes a
      // third of what a circle does.
      out.line(
          R"(<path d="{}" stroke="{}" stroke-width="{}" )"
          R"(stroke-linecap="round"/>)",
          places_of(x, y, series, "M", "M", "h0"),
          series.colour,
          series.dot_size);
      return;
    case PlotMark::kLine:
      out.line(
          R"(<path d="{}" fill="none" stroke="{}" stroke-width="2"/>)",
          places_of(x, y, series, "M", "L", ""),
          series.colour);
      return;
    case PlotMark::kArea:
      out.line(
          R"(<path d="{}" fill="{}" fill-opacity="0.15"/>)",
          places_of(x, y, series, "M", "L", ""),
          series.colour);
      return;
  }
}

int legend_width(const PlotSeries& series) {
  return kLegendLetter * static_cast<int>(series.label.size()) + kLegendGap;
}

/// The series that have a label, as many in a row as there is room for.
std::vector<std::vector<const PlotSeries*>> legend_rows(
    const std::vector<PlotSeries>& series) {
  std::vector<std::vector<const PlotSeries*>> rows(1);
  int room = kRight;
  for (const PlotSeries& one : series) {
    if (one.label.empty()) {
      continue;
    }
    if (legend_width(one) > room && !rows.back().empty()) {
      rows.emplace_back();
      room = kRight;
    }
    room -= legend_width(one);
    rows.back().push_back(&one);
  }
  return rows;
}

void draw_legend(
    PlotWriter& out, const std::vector<std::vector<const PlotSeries*>>& rows) {
  int y = 14;
  for (const auto& row : rows) {
    int right = kRight;
    for (auto one = row.rbegin(); one != row.rend(); ++one) {
      out.line(
          R"(<text x="{}" y="{}" text-anchor="end" fill="{}">{}</text>)",
          right,
          y,
          (*one)->colour,
          detail::xml_text((*one)->label));
      right -= legend_width(**one);
    }
    y += kLegendRow;
  }
}

}  // namespace

std::string plot_svg(
    const std::string& x_label,
    const std::string& y_label,
    const std::vector<PlotSeries>& series) {
  PlotAxis x(kLeft, kRight);
  PlotAxis y(kBottom, kTop);
  for (const PlotSeries& one : series) {
    for (const PlotPoint& point : one.points) {
      if (is_finite(point)) {
        x.hold(point.x);
        y.hold(point.y);
      }
    }
  }
  x.finish();
  y.finish();
  const auto legend = legend_rows(series);
  const int below = kLegendRow * static_cast<int>(legend.size() - 1);
  PlotWriter out;
  out.line(
      R"(<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" )"
      R"(viewBox="0 0 {0} {1}" font-family="sans-serif" font-size="12">)",
      kWidth,
      kHeight + below);
  out.line(R"(<rect width="100%" height="100%" fill="white"/>)");
  draw_legend(out, legend);
  out.line(R"svg(<g transform="translate(0 {})">)svg", below);
  draw_axes(out, x, y, x_label, y_label);
  for (const PlotSeries& one : series) {
    draw_series(out, x, y, one);
  }
  out.line("</g>");
  out.line("</svg>");
  return out.text;
}

}  // namespace gatedpaths
