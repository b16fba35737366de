// SPDX-License-Identifier: MIT
// One draw of a state. Not installed.
#pragma once

#include <gatedpaths/gates/draw_state.hpp>

#include "../random/counter_random.hpp"

namespace gatedpaths::detail {

/// The numbers of the draw that `state` stands at, which goes one step on.
inline CounterRandom next_draw(DrawState& state) {
  const uint64_t step = state.take_step();
  return {state.seed, step, 0};
}

}  // namespace gatedpaths::detail
