// SPDX-License-Identifier: MIT
// The fourth stage: the found path as a net of its own.
#pragma once

#include "options.hpp"
#include "ranking.hpp"
#include "supernet.hpp"

#include <gatedpaths/paths/path.hpp>

namespace nas_bench_macro {

/// Derives the net of the path, gives it batch norm's statistics of its own,
/// and writes its weights, `net.safetensors`. Gives its accuracy on the test
/// images, from 0 to 1, with the supernet's weights.
double derive_found_net(
    const Options& options,
    Supernet& supernet,
    const Ranking& ranking,
    const gatedpaths::Path& path);

}  // namespace nas_bench_macro
