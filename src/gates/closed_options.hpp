// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/gates/skip.hpp>

#include <string_view>

namespace gatedpaths::detail {

/// Throws where options ask for what a branch that does not run cannot give.
void check_closed_options(
    std::string_view gate_kind,
    Skip skip,
    ClosedValue closed_value,
    bool track_statistics);

}  // namespace gatedpaths::detail
