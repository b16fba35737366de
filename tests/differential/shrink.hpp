// SPDX-License-Identifier: MIT
#pragma once

#include "differential/tree.hpp"

#include <cstdint>

namespace gatedpaths::differential {

/// A smaller tree in which gated network and reference still differ within some
/// steps. Tries some hundred trees at most.
Tree shrunk(Tree tree, uint64_t steps);

}  // namespace gatedpaths::differential
