// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/stream_seed.hpp>

#include "../text/fnv1a.hpp"

namespace gatedpaths {
namespace {

// The finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable
// pseudorandom number generators", OOPSLA 2014), one to one.
uint64_t mix_bits(uint64_t bits) noexcept {
  bits = (bits ^ (bits >> 30U)) * 0xbf58476d1ce4e5b9U;
  bits = (bits ^ (bits >> 27U)) * 0x94d049bb133111ebU;
  return bits ^ (bits >> 31U);
}

}  // namespace

// For each name it is one to one in the seed. The golden ratio keeps a seed of
// 0 from being mixed into 0.
uint64_t stream_seed(uint64_t seed, std::string_view name) noexcept {
  const uint64_t mixed = mix_bits(seed + 0x9e3779b97f4a7c15U);
  return mix_bits(mixed ^ detail::Fnv1a().add(name).value());
}

}  // namespace gatedpaths
