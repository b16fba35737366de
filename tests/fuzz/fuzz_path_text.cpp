// SPDX-License-Identifier: MIT
// Paths as texts: what is no path is an error of one of two kinds, and what is
// one has a text of its own that stands for it.
#include "harnesses.hpp"
#include "input.hpp"
#include "promise.hpp"

#include <gatedpaths/paths/space_layout.hpp>

#include <optional>

namespace gatedpaths::fuzz {
namespace {

const SpaceLayout& path_text_layout() {
  // Nested twice, a gate in two places, none to all open, names with all that
  // has a meaning in the text.
  static const SpaceLayout layout(
      {{.name = "stem", .branch_names = {"conv3x3", "conv5x5"}},
       {.name = "a.b",
        .branch_names = {"0", "1", "2"},
        .min_open = 0,
        .max_open = 3},
       {.name = "a.b.1.x",
        .branch_names = {"p", "q"},
        .min_open = 1,
        .max_open = 2,
        .places = {{1, 1}}},
       {.name = "=;",
        .branch_names = {"+", "\\", "=", ";"},
        .min_open = 0,
        .max_open = 2,
        .places = {{0, 1}, {2, 0}}}});
  return layout;
}

}  // namespace

void path_text(Bytes bytes) {
  const auto& layout = path_text_layout();
  std::optional<Path> path;
  const auto parse = [&] { path = layout.parse(text_of(bytes)); };
  bool is_unknown = false;  // a gate or branch of this name
  const bool is_refused_form =
      is_refused<c10::ValueError>("PathSpace::parse: expected ", [&] {
        is_unknown =
            is_refused<c10::IndexError>("PathSpace::parse: expected ", parse);
      });
  require(
      path.has_value() != (is_refused_form || is_unknown),
      "a path or an error");
  if (!path) {
    return;
  }
  const auto text = layout.to_string(*path);
  const auto again = layout.parse(text);
  require(again == *path, "parse(to_string(path)) == path, for " + text);
  require(again.hash() == path->hash(), "equal paths have equal hashes");
  require(layout.to_string(again) == text, "a path has one text");
}

}  // namespace gatedpaths::fuzz
