// SPDX-License-Identifier: MIT
// Spaces of any names, bounds and places: the constructor refuses them, or
// every path of them can be counted, written and read.
#include "harnesses.hpp"
#include "input.hpp"
#include "promise.hpp"

#include <gatedpaths/paths/space_layout.hpp>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace gatedpaths::fuzz {
namespace {

std::vector<GateLayout> gates_from(Input& input) {
  std::vector<GateLayout> gates(static_cast<size_t>(input.below(8)));
  for (auto& gate : gates) {
    gate.name = input.text();
    gate.branch_names.resize(static_cast<size_t>(input.below(7)));
    for (auto& name : gate.branch_names) {
      name = input.text();
    }
    gate.min_open = input.within(-1, 6);
    gate.max_open = input.within(-1, 7);
    gate.places.resize(static_cast<size_t>(input.below(3)));
    for (auto& place : gate.places) {
      place = {input.within(-1, 8), input.within(-1, 7)};
    }
  }
  return gates;
}

void check_text(const SpaceLayout& layout, const Path& path) {
  const auto text = layout.to_string(path);
  const auto again = layout.parse(text);
  require(again == path, "parse(to_string(path)) == path, for " + text);
  require(layout.to_string(again) == text, "a path has one text");
}

Path any_path(const SpaceLayout& layout, Input& input) {
  return layout.make_path([&](int64_t number, std::vector<int64_t>& open) {
    const auto& gate = layout.gate(number);
    const auto count = static_cast<int64_t>(gate.branch_names.size());
    auto missing = input.within(gate.min_open, gate.max_open);
    for (int64_t branch = 0; branch < count; ++branch) {
      if (missing > 0 && (count - branch == missing || input.below(2) == 1)) {
        open.push_back(branch);
        --missing;
      }
    }
  });
}

}  // namespace

void space_layout(Bytes bytes) {
  Input input(bytes);
  const auto gates = gates_from(input);
  std::optional<SpaceLayout> layout;
  if (is_refused<c10::ValueError>(
          "SpaceLayout: expected ", [&] { layout.emplace(gates); })) {
    return;
  }
  require(layout->gates() == gates, "the gates as they were given");
  require(SpaceLayout(gates).hash() == layout->hash(), "equal hashes");
  for (int i = 0; i < 3; ++i) {
    check_text(*layout, any_path(*layout, input));
  }
  uint64_t size = 0;
  if (is_refused<c10::ValueError>(
          "PathSpace::size: expected ", [&] { size = layout->size(); })) {
    return;
  }
  require(size > 0, "at least one path");
  const auto middle = input.number() % size;
  for (const auto index : {uint64_t{0}, middle, size - 1}) {
    check_text(*layout, layout->at(index));
  }
  require(
      middle == 0 || layout->at(0) != layout->at(middle),
      "each path has one number");
  require(
      is_refused<c10::IndexError>(
          "PathSpace::at: expected ", [&] { layout->at(size); }),
      "no path behind the last");
}

}  // namespace gatedpaths::fuzz
