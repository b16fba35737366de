// SPDX-License-Identifier: MIT
// One draw of a state. Not installed.
#pragma once

#include <gatedpaths/gates/draw_state.hpp>
#include <gatedpaths/gates/stream_seed.hpp>

#include "../random/counter_random.hpp"

#include <string_view>

namespace gatedpaths::detail {

/// The numbers of the draw that `state` stands at, which goes one step on.
/// `kind` is what draws, e.g. `"ChoiceBlock"`: what is of another kind gets
/// other numbers from an equal state.
inline CounterRandom next_draw(DrawState& state, std::string_view kind) {
  const uint64_t step = state.take_step();
  return {stream_seed(state.seed, kind), step, 0};
}

}  // namespace gatedpaths::detail
