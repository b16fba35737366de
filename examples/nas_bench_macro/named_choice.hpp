// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

namespace nas_bench_macro {

/// Throws: `c10::ValueError`, in the name of `flag`, where `name` is none of
/// `names`.
void require_one_of(
    const std::string& flag,
    const std::string& name,
    const std::vector<std::string>& names);

}  // namespace nas_bench_macro
