// SPDX-License-Identifier: MIT
#pragma once

#include "differential/tree.hpp"

#include <cstdint>

namespace gatedpaths::differential {

/// The tree of this seed: gates of all kinds with random options, nested up to
/// four deep, with parts that stand in several places.
Tree random_tree(uint64_t seed);

}  // namespace gatedpaths::differential
