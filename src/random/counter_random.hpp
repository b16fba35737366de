// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/PhiloxRNGEngine.h>

#include <cstdint>

namespace gatedpaths::detail {

/// Random numbers that are a function of (seed, step, gate) alone.
///
/// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
/// SC 2011), LibTorch's engine: the key is `seed`, the counter's upper half is
/// `step`, its lower half starts at `gate << 32`, so that each gate of each
/// step has 2^34 numbers of its own. No state is shared with any other
/// generator.
class CounterRandom {
 public:
  CounterRandom(uint64_t seed, uint64_t step, uint64_t gate)
      : engine_(seed, step, gate << 32U) {}

  /// 32 uniform bits.
  uint32_t bits() { return engine_(); }

  /// 64 uniform bits.
  uint64_t bits64() {
    const uint64_t high = engine_();
    return (high << 32U) | engine_();
  }

  /// A uniform integer in `[0, bound)`, without bias; `bound > 0`.
  uint64_t below(uint64_t bound) {
    // Numbers under this threshold would make small results likelier.
    const uint64_t threshold = (0 - bound) % bound;
    uint64_t value = bits64();
    while (value < threshold) {
      value = bits64();
    }
    return value % bound;
  }

  /// A uniform number in `[0, 1)` with 53 random bits.
  double uniform() { return static_cast<double>(bits64() >> 11U) * 0x1.0p-53; }

 private:
  at::Philox4_32 engine_;
};

}  // namespace gatedpaths::detail
