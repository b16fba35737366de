// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace gatedpaths::detail {

/// `hash` with one more number in it; the order counts.
constexpr uint64_t hash_mix(uint64_t hash, uint64_t number) noexcept {
  // The last steps of SplitMix64.
  hash = (hash ^ number) * 0x9E3779B97F4A7C15ULL;
  hash = (hash ^ (hash >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  return hash ^ (hash >> 27U);
}

}  // namespace gatedpaths::detail
