// SPDX-License-Identifier: MIT
// Random numbers for the differential test: the same on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <random>

namespace gatedpaths::differential {

/// Mixes numbers into a seed.
inline uint64_t mixed(std::initializer_list<uint64_t> numbers) {
  uint64_t hash = 0x9e3779b97f4a7c15U;
  for (const uint64_t number : numbers) {
    hash ^= number + 0x9e3779b97f4a7c15U;
    hash *= 0xff51afd7ed558ccdU;
    hash ^= hash >> 33U;
  }
  return hash;
}

class Dice {
 public:
  explicit Dice(uint64_t seed) : engine_(seed) {}

  uint64_t number() { return engine_(); }

  /// In `[0, bound)`.
  int64_t below(int64_t bound) {
    return static_cast<int64_t>(engine_() % static_cast<uint64_t>(bound));
  }

  /// In `[first, last]`.
  int64_t between(int64_t first, int64_t last) {
    return first + below(last - first + 1);
  }

  bool chance(double probability) {
    return static_cast<double>(engine_() >> 11U) * 0x1p-53 < probability;
  }

  template <class Choices>
  auto one_of(const Choices& choices) {
    const auto place = below(static_cast<int64_t>(choices.size()));
    return *(choices.begin() + place);
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace gatedpaths::differential
