// SPDX-License-Identifier: MIT
#pragma once

#include "differential/tree.hpp"

#include <cstdint>

namespace gatedpaths::differential {

/// The tree of this seed and form: gates of all kinds with random options,
/// nested up to four deep, with parts that stand in several places.
Tree random_tree(uint64_t seed, Form form);

}  // namespace gatedpaths::differential
