// SPDX-License-Identifier: MIT
#include "shown.hpp"

#include <fmt/format.h>

#include <cstddef>

namespace nas_bench_201 {
namespace {

constexpr std::size_t kLongest = 160;  // an architecture has at most 98

}  // namespace

std::string shown(std::string_view text) {
  std::string result = "'";
  for (const char c : text.substr(0, kLongest)) {
    if (0x20 <= c && c <= 0x7e) {
      result += c;
    } else {
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return result + (text.size() > kLongest ? "...'" : "'");
}

}  // namespace nas_bench_201
