// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/draw_state.hpp>

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <limits>

namespace gatedpaths {

uint64_t DrawState::take_step() {
  constexpr uint64_t kLast = std::numeric_limits<uint64_t>::max();
  TORCH_CHECK(
      step != kLast,
      "DrawState::take_step: expected a step that another one follows, got ",
      kLast,
      ", the last one");
  return step++;
}

void DrawState::check_source(
    std::string_view method, const DrawState& other) const {
  TORCH_CHECK_VALUE(
      source == 0 || other.source == 0 || source == other.source,
      fmt::format(
          "{}: expected a state of the same kind, parameters and space (source "
          "{:#018x}), got one of source {:#018x}",
          method,
          source,
          other.source));
}

Drawer::~Drawer() = default;

}  // namespace gatedpaths
