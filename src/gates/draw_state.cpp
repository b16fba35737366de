// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/draw_state.hpp>

namespace gatedpaths {

Drawer::~Drawer() = default;

}  // namespace gatedpaths
