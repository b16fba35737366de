// SPDX-License-Identifier: MIT
// Paths that are worth a run. Not installed.
#pragma once

#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/space_layout.hpp>

#include <cstdint>
#include <vector>

namespace gatedpaths::detail {

/// Few paths that open each branch of each gate once at least: as many as the
/// widest gate has branches, where none are nested and one is open at a time.
std::vector<Path> cover_paths(const SpaceLayout& layout);

/// The path on which gate `gate` is reached and has `open` open, and which is
/// else as small as the bounds allow, with the first branches.
Path path_with(
    const SpaceLayout& layout, int64_t gate, const std::vector<int64_t>& open);

}  // namespace gatedpaths::detail
