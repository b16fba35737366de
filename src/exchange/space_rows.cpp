// SPDX-License-Identifier: MIT
#include "space_rows.hpp"

#include "../paths/has_size.hpp"
#include "../text/json_text.hpp"
#include "../text/xml_text.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace gatedpaths::detail {
namespace {

std::string picture_text(std::string_view where, std::string_view text) {
  static_cast<void>(json_text(where, OrderedJson(text)));  // throws: no UTF-8
  return xml_text(text);
}

std::string count_text(int64_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

std::string default_title(const SpaceLayout& layout) {
  auto title = count_text(layout.num_gates(), "gate");
  if (has_size(layout)) {
    const double log2_size = layout.log2_size();
    title +=
        log2_size < 50
            ? fmt::format(
                  ", {} path{}", layout.size(), layout.size() == 1 ? "" : "s")
            : fmt::format(", 10^{:.1f} paths", log2_size * std::log10(2.0));
  }
  return title;
}

std::string bounds_text(const GateLayout& gate) {
  const auto of = fmt::format(" of {}", gate.branch_names.size());
  return gate.min_open == gate.max_open
             ? fmt::format("{}{}", gate.min_open, of)
             : fmt::format("{} to {}{}", gate.min_open, gate.max_open, of);
}

// A gate in one other gate is called by that one's branches alone.
std::string inside_text(const SpaceLayout& layout, const GateLayout& gate) {
  std::string text;
  const bool has_one = std::ranges::all_of(gate.places, [&](GatePlace place) {
    return place.gate == gate.places.front().gate;
  });
  for (const GatePlace& place : gate.places) {
    const GateLayout& around = layout.gate(place.gate);
    text += text.empty() ? "in " : ", ";
    if (!has_one) {
      text += around.name + ": ";
    }
    text += around.branch_names[static_cast<size_t>(place.branch)];
  }
  return text;
}

BranchNote note_of(
    std::string_view where,
    const SpacePictureOptions& options,
    const GateLayout& gate,
    int64_t number,
    int64_t branch) {
  if (!options.notes()) {
    return {};
  }
  BranchNote note = options.notes()(number, branch);
  TORCH_CHECK_VALUE(
      std::isfinite(note.weight) && note.weight >= 0,
      fmt::format(
          "{}: expected notes with finite weights of at least 0, got {} for "
          "branch '{}' of gate '{}'",
          where,
          note.weight,
          gate.branch_names[static_cast<size_t>(branch)],
          gate.name));
  return note;
}

void scale_bars(std::vector<GateRow>& gates) {
  double largest = 0;
  for (const GateRow& gate : gates) {
    for (const BranchBox& box : gate.boxes) {
      largest = std::max(largest, box.bar);
    }
  }
  for (GateRow& gate : gates) {
    for (BranchBox& box : gate.boxes) {
      box.bar = largest > 0 ? box.bar / largest : 0;
    }
  }
}

}  // namespace

SpaceRows space_rows(
    std::string_view where,
    const SpaceLayout* layout,
    const SpacePictureOptions& options) {
  TORCH_CHECK_VALUE(
      layout != nullptr, where, ": expected a space, got a null pointer");
  const auto& path = options.path();
  TORCH_CHECK_VALUE(
      !path || path->space_hash() == layout->hash(),
      fmt::format(
          "{}: expected a path of space {}, got one of space {}",
          where,
          hash_text(layout->hash()),
          hash_text(path ? path->space_hash() : 0)));
  SpaceRows rows{
      .title = picture_text(
          where,
          options.title().empty() ? default_title(*layout) : options.title()),
      .hash = hash_text(layout->hash()),
      .has_path = path.has_value()};
  for (int64_t number = 0; number < layout->num_gates(); ++number) {
    const GateLayout& gate = layout->gate(number);
    GateRow row{
        .name = picture_text(where, gate.name),
        .bounds = bounds_text(gate),
        .inside = picture_text(where, inside_text(*layout, gate)),
        .is_reached = !path || path->reaches(number),
        .places = gate.places};
    for (const GatePlace& place : gate.places) {
      const GateRow& around = rows.gates[static_cast<size_t>(place.gate)];
      row.depth = std::max(row.depth, around.depth + 1);
    }
    const auto open = path && row.is_reached ? path->open_branches(number)
                                             : c10::IntArrayRef();
    const auto count = static_cast<int64_t>(gate.branch_names.size());
    for (int64_t branch = 0; branch < count; ++branch) {
      const auto note = note_of(where, options, gate, number, branch);
      row.boxes.push_back(
          {.name = picture_text(
               where, gate.branch_names[static_cast<size_t>(branch)]),
           .note = picture_text(where, note.text),
           .bar = note.weight,
           .is_open = std::ranges::find(open, branch) != open.end()});
      rows.has_notes = rows.has_notes || !note.text.empty() || note.weight > 0;
    }
    rows.gates.push_back(std::move(row));
  }
  scale_bars(rows.gates);
  return rows;
}

}  // namespace gatedpaths::detail
