// SPDX-License-Identifier: MIT
// Random numbers that are a function of integers: what was drawn before does
// not matter, so a run can stop anywhere and go on with nothing but its counts.
#pragma once

#include <ATen/core/PhiloxRNGEngine.h>

#include <cstdint>

namespace cifar10 {

/// A stream of random numbers named by three integers.
class CounterRandom {
 public:
  CounterRandom(
      std::uint64_t seed, std::uint64_t stream, std::uint64_t counter = 0)
      : engine_(seed, stream, counter) {}

  /// A whole number from 0 to `bound - 1`.
  std::uint32_t below(std::uint32_t bound) {
    // The high half of the product: fairer than a remainder, and as cheap.
    return static_cast<std::uint32_t>(
        (static_cast<std::uint64_t>(engine_()) * bound) >> 32U);
  }

  /// A number from `low` up to, not including, `high`.
  float between(float low, float high) {
    constexpr float kUnit = 1.0F / 16777216.0F;  // 24 bits fit a float
    return low + (high - low) * static_cast<float>(engine_() >> 8U) * kUnit;
  }

 private:
  at::Philox4_32 engine_;
};

}  // namespace cifar10
