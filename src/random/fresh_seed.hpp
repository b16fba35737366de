// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace gatedpaths::detail {

/// A seed that was not returned before in this process: the upper half of the
/// numbers, in order, which nobody picks by hand. A program that makes its
/// modules in the same order gets the same ones.
uint64_t fresh_seed() noexcept;

}  // namespace gatedpaths::detail
