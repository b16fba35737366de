// SPDX-License-Identifier: MIT
// Makes values out of the bytes of an input.
#pragma once

#include "harnesses.hpp"

#include <algorithm>
#include <cstdint>
#include <string>

namespace gatedpaths::fuzz {

inline std::string text_of(Bytes bytes) { return {bytes.begin(), bytes.end()}; }

/// Takes bytes from the front; where none is left, it gives zeros and empty
/// texts.
class Input {
 public:
  explicit Input(Bytes bytes) : rest_(bytes) {}

  bool empty() const { return rest_.empty(); }

  std::uint8_t byte() {
    if (rest_.empty()) {
      return 0;
    }
    const auto value = rest_.front();
    rest_ = rest_.subspan(1);
    return value;
  }

  std::int64_t below(std::int64_t bound) { return byte() % bound; }

  std::int64_t within(std::int64_t least, std::int64_t most) {
    return least + below(most - least + 1);
  }

  std::uint64_t number() {
    std::uint64_t value = 0;
    for (int i = 0; i < 8; ++i) {
      value = value << 8U | byte();
    }
    return value;
  }

  /// Up to the next `end`, which is taken too.
  std::string text(char end = '\n') {
    const auto stop =
        std::find(rest_.begin(), rest_.end(), static_cast<std::uint8_t>(end));
    std::string result(rest_.begin(), stop);
    rest_ = rest_.subspan(std::min(result.size() + 1, rest_.size()));
    return result;
  }

  std::string rest() {
    auto result = text_of(rest_);
    rest_ = {};
    return result;
  }

 private:
  Bytes rest_;
};

}  // namespace gatedpaths::fuzz
