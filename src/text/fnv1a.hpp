// SPDX-License-Identifier: MIT
// FNV-1a, 64 bits (Fowler, Noll, Vo). Not installed.
#pragma once

#include <cstdint>
#include <string_view>

namespace gatedpaths::detail {

class Fnv1a {
 public:
  /// Byte order does not matter to the result: the lowest byte goes first.
  Fnv1a& add(uint64_t number) noexcept {
    for (unsigned shift = 0; shift < 64; shift += 8) {
      add_byte(static_cast<unsigned char>(number >> shift));
    }
    return *this;
  }

  Fnv1a& add(int64_t number) noexcept {
    return add(static_cast<uint64_t>(number));
  }

  /// With its length first, so that no two lists of texts run into one.
  Fnv1a& add(std::string_view text) noexcept {
    add(static_cast<uint64_t>(text.size()));
    for (const char c : text) {
      add_byte(static_cast<unsigned char>(c));
    }
    return *this;
  }

  uint64_t value() const noexcept { return value_; }

 private:
  void add_byte(unsigned char byte) noexcept {
    value_ = (value_ ^ byte) * 0x100000001b3U;
  }

  uint64_t value_ = 0xcbf29ce484222325U;
};

}  // namespace gatedpaths::detail
