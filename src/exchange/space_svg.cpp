// SPDX-License-Identifier: MIT
#include <gatedpaths/exchange/space_picture.hpp>

#include "space_rows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace gatedpaths {
namespace {

// In pixels; a letter of a monospaced font is 0.6 as wide as it is high.
constexpr double kLetter = 7.25;
constexpr double kSmallLetter = 6.05;
constexpr double kTitleLetter = 8.5;
constexpr double kMargin = 16;
constexpr double kIndent = 22;
constexpr double kPageWidth = 960;
constexpr double kBoxesAtLeast = 420;
constexpr double kGap = 6;
constexpr double kRowGap = 10;
constexpr double kHeader = 62;
constexpr double kHeaderAtLeast = 310;

constexpr std::string_view kStyle = R"(
  text { font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 12px; fill: #1d2a36 }
  .title { font-size: 14px; font-weight: bold }
  .small { font-size: 10px; fill: #5b6b7a }
  .box { fill: #f3f6f9; stroke: #8fa3b5 }
  .open { fill: #17629f; stroke: #17629f }
  .in-open { fill: #ffffff }
  .bar { fill: #c9d5e0 }
  .bar-open { fill: #8fc4ee }
  .tree { fill: none; stroke: #b4c2ce }
  .pale { opacity: 0.4 }
)";

// How wide a text is, in letters: an entity is one, and wide letters are two.
int64_t letters(std::string_view text) {
  int64_t count = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (text[i] == '&') {
      i = text.find(';', i);
    }
    if ((byte & 0xc0U) != 0x80) {
      count += byte >= 0xe3 ? 2 : 1;
    }
  }
  return count;
}

double width_of(std::string_view text, double letter = kLetter) {
  return letter * static_cast<double>(letters(text));
}

std::string small_line(const detail::GateRow& gate) {
  return gate.inside.empty() ? gate.bounds : gate.bounds + ", " + gate.inside;
}

double label_start(const detail::GateRow& gate) {
  return kMargin + kIndent * static_cast<double>(gate.depth);
}

double label_end(const detail::GateRow& gate) {
  return label_start(gate) +
         std::max(
             width_of(gate.name), width_of(small_line(gate), kSmallLetter));
}

class SvgWriter {
 public:
  explicit SvgWriter(const detail::SpaceRows& rows) : rows_(rows) {
    width_ = 2 * kMargin +
             std::max(width_of(rows.title, kTitleLetter), kHeaderAtLeast);
    for (const auto& gate : rows.gates) {
      boxes_ = std::max(boxes_, label_end(gate) + 20);
    }
    // No wider than a page where boxes can stand in several lines.
    const double page = std::max(kPageWidth, boxes_ + kBoxesAtLeast);
    for (const auto& gate : rows.gates) {
      const double box = box_width(gate);
      const double all =
          static_cast<double>(gate.boxes.size()) * (box + kGap) - kGap;
      width_ = std::max(
          {width_,
           boxes_ + box + kMargin,
           std::min(page, boxes_ + all + kMargin)});
    }
  }

  std::string write() {
    header();
    for (const auto& gate : rows_.gates) {
      row(gate);
    }
    const double height = y_ + kMargin - kRowGap;
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" "
        "height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} {1:.0f}\">\n"
        "<title>{2}</title>\n<style>{3}</style>\n"
        "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{4}</svg>\n",
        width_,
        height,
        rows_.title,
        kStyle,
        body_);
  }

 private:
  double box_height() const { return rows_.has_notes ? 38 : 24; }

  static double box_width(const detail::GateRow& gate) {
    double width = 40;
    for (const auto& box : gate.boxes) {
      width = std::max(
          {width,
           width_of(box.name) + 18,
           width_of(box.note, kSmallLetter) + 18});
    }
    return width;
  }

  void text(
      double x,
      double y,
      const std::string& classes,
      std::string_view content) {
    body_ += fmt::format(
        "<text x=\"{:.1f}\" y=\"{:.1f}\"{}>{}</text>\n",
        x,
        y,
        classes.empty() ? "" : fmt::format(" class=\"{}\"", classes),
        content);
  }

  void rectangle(
      double x, double y, double width, double height, const char* classes) {
    body_ += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" "
        "rx=\"3\" class=\"{}\"/>\n",
        x,
        y,
        width,
        height,
        classes);
  }

  void header() {
    text(kMargin, 26, "title", rows_.title);
    text(kMargin, 44, "small", "space " + rows_.hash);
    if (rows_.has_path) {
      const double x = kMargin + width_of("space " + rows_.hash) + 4;
      rectangle(x, 35, 16, 11, "open");
      text(x + 22, 44, "small", "open");
      rectangle(x + 64, 35, 16, 11, "box");
      text(x + 86, 44, "small", "closed");
    }
  }

  // From the gate that it lies in down to it, as in a tree of folders.
  void branch_line(const detail::GateRow& gate) {
    if (gate.places.empty()) {
      return;
    }
    const auto around = static_cast<size_t>(gate.places.front().gate);
    const double x = label_start(rows_.gates[around]) + 6;
    body_ += fmt::format(
        "<path class=\"tree\" d=\"M{:.1f} {:.1f}V{:.1f}H{:.1f}\"/>\n",
        x,
        label_bottoms_[around],
        y_ + 12,
        label_start(gate) - 4);
  }

  void row(const detail::GateRow& gate) {
    const double top = y_;
    branch_line(gate);
    body_ += gate.is_reached ? "<g>\n" : "<g class=\"pale\">\n";
    text(label_start(gate), top + 14, "", gate.name);
    text(label_start(gate), top + 28, "small", small_line(gate));
    const double width = box_width(gate);
    double x = boxes_;
    for (const auto& branch : gate.boxes) {
      if (x > boxes_ && x + width > width_ - kMargin) {
        x = boxes_;
        y_ += box_height() + kGap;
      }
      box(branch, x, width);
      x += width + kGap;
    }
    body_ += "</g>\n";
    label_bottoms_.push_back(top + 32);
    y_ = std::max(y_ + box_height(), top + 32) + kRowGap;
  }

  void box(const detail::BranchBox& branch, double x, double width) {
    rectangle(x, y_, width, box_height(), branch.is_open ? "open" : "box");
    text(x + 9, y_ + 16, branch.is_open ? "in-open" : "", branch.name);
    if (!branch.note.empty()) {
      text(
          x + 9,
          y_ + 29,
          branch.is_open ? "small in-open" : "small",
          branch.note);
    }
    if (branch.bar > 0) {
      rectangle(
          x + 1,
          y_ + box_height() - 5,
          std::max(1.0, branch.bar * (width - 2)),
          4,
          branch.is_open ? "bar-open" : "bar");
    }
  }

  const detail::SpaceRows& rows_;
  double width_ = 0;
  double boxes_ = 0;  // where they begin
  double y_ = kHeader;
  std::vector<double> label_bottoms_{};  // by gate
  std::string body_{};
};

}  // namespace

std::string space_svg(
    const std::shared_ptr<const SpaceLayout>& layout,
    const SpacePictureOptions& options) {
  const auto rows = detail::space_rows("space_svg", layout.get(), options);
  return SvgWriter(rows).write();
}

}  // namespace gatedpaths
