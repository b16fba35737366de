// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/shape_state.hpp>

namespace gatedpaths {

ShapeState::~ShapeState() = default;

}  // namespace gatedpaths
