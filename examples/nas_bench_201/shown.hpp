// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace nas_bench_201 {

/// The text in quotes, as messages show it: each byte that is no printable
/// ASCII stands as `\x1b` does for an escape, and of a long text the end as
/// "...".
std::string shown(std::string_view text);

}  // namespace nas_bench_201
