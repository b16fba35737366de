// SPDX-License-Identifier: MIT
#include <gatedpaths/exchange/space_picture.hpp>

#include "space_rows.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace gatedpaths {
namespace {

// So that a gate of a hundred branches stays on a page.
constexpr size_t kCellsInRow = 8;

std::string cell(const detail::BranchBox& box, size_t number) {
  const auto note =
      box.note.empty()
          ? std::string()
          : fmt::format("<BR/><FONT POINT-SIZE=\"8\">{}</FONT>", box.note);
  const auto text = box.name + note;
  return fmt::format(
      "<TD PORT=\"b{}\" BGCOLOR=\"{}\">{}</TD>",
      number,
      box.is_open ? "#17629f" : "#f3f6f9",
      box.is_open ? fmt::format("<FONT COLOR=\"#ffffff\">{}</FONT>", text)
                  : text);
}

std::string node(const detail::GateRow& gate, size_t number) {
  std::string cells;
  for (size_t b = 0; b < gate.boxes.size(); ++b) {
    if (b % kCellsInRow == 0) {
      cells += b == 0 ? "<TR>" : "</TR><TR>";
    }
    cells += cell(gate.boxes[b], b);
  }
  return fmt::format(
      "  g{} [{}label=<<TABLE BORDER=\"0\" CELLBORDER=\"1\" CELLSPACING=\"0\" "
      "COLOR=\"#8fa3b5\"><TR><TD COLSPAN=\"{}\">{} <FONT POINT-SIZE=\"8\">{}"
      "</FONT></TD></TR>{}</TR></TABLE>>];\n",
      number,
      gate.is_reached ? "" : "fontcolor=\"#b0b8c0\" ",
      std::min(kCellsInRow, gate.boxes.size()),
      gate.name,
      gate.bounds,
      cells);
}

}  // namespace

std::string space_dot(
    const std::shared_ptr<const SpaceLayout>& layout,
    const SpacePictureOptions& options) {
  const auto rows = detail::space_rows("space_dot", layout.get(), options);
  auto dot = fmt::format(
      "digraph space {{\n"
      "  graph [rankdir=LR nodesep=0.1 fontname=\"DejaVu Sans Mono\" "
      "labelloc=t "
      "label=<{}>];\n"
      "  node [shape=plain fontname=\"DejaVu Sans Mono\" fontsize=10];\n"
      "  edge [color=\"#8fa3b5\" arrowsize=0.6];\n",
      rows.title);
  std::string column;  // of those that are always reached, from the top down
  for (size_t i = 0; i < rows.gates.size(); ++i) {
    const auto& gate = rows.gates[i];
    if (gate.places.empty()) {
      column += fmt::format("{}g{}", column.empty() ? "" : " -> ", i);
    }
    dot += node(gate, i);
    for (const GatePlace& place : gate.places) {
      dot += fmt::format("  g{}:b{} -> g{};\n", place.gate, place.branch, i);
    }
  }
  if (!column.empty()) {
    dot += fmt::format("  {{ rank=same; edge [style=invis]; {}; }}\n", column);
  }
  return dot + "}\n";
}

}  // namespace gatedpaths
