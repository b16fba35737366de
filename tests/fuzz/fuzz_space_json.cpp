// SPDX-License-Identifier: MIT
// A space as JSON, or a path of a small space: refused, or one that is written
// and read again as the same.
#include "harnesses.hpp"
#include "input.hpp"
#include "promise.hpp"

#include <gatedpaths/exchange/space_json.hpp>

#include <memory>
#include <string>
#include <vector>

namespace gatedpaths::fuzz {
namespace {

std::shared_ptr<const SpaceLayout> small_space() {
  return std::make_shared<const SpaceLayout>(std::vector<GateLayout>{
      {.name = "stem", .branch_names = {"a", "b"}},
      {.name = "cell",
       .branch_names = {"x", "y", "z"},
       .min_open = 0,
       .max_open = 2,
       .places = {{.gate = 0, .branch = 1}}}});
}

void check_space(const std::string& text) {
  std::shared_ptr<const SpaceLayout> layout;
  if (is_refused<c10::ValueError>(
          "", [&] { layout = space_from_json(text); })) {
    return;
  }
  const auto written = space_to_json(layout);
  const auto again = space_from_json(written);
  require(*again == *layout, "a space that is written is read as the same");
  require(space_to_json(again) == written, "a space has one text");
}

void check_path(const std::string& text) {
  static const auto layout = small_space();
  Path path;
  if (is_refused<c10::Error>(
          "", [&] { path = path_from_json(layout, text); })) {
    return;
  }
  require(
      path_from_json(layout, path_to_json(layout, path)) == path,
      "a path that is written is read as the same");
}

}  // namespace

void space_json(Bytes bytes) {
  const auto text = text_of(bytes);
  check_space(text);
  check_path(text);
}

}  // namespace gatedpaths::fuzz
