// SPDX-License-Identifier: MIT
#include "printable.hpp"

#include <fmt/format.h>

#include <cstddef>

namespace cifar10 {
namespace {

bool is_between(unsigned char byte, unsigned least, unsigned most) {
  return byte >= least && byte <= most;
}

/// How many bytes its first character has; 0 where it may not be shown.
std::size_t shown_bytes(std::string_view text) {
  const auto byte = [text](std::size_t i) {
    return static_cast<unsigned char>(i < text.size() ? text[i] : '\0');
  };
  const auto first = byte(0);
  if (first < 0x80) {
    return first == '\n' || is_between(first, 0x20, 0x7e) ? 1 : 0;
  }
  if (!is_between(first, 0xc2, 0xf4)) {
    return 0;
  }
  // The second byte's bounds keep out the controls U+0080 to U+009F, what has a
  // shorter form, surrogates, and what is above U+10FFFF.
  const unsigned least = first == 0xc2 || first == 0xe0 ? 0xa0
                         : first == 0xf0                ? 0x90
                                                        : 0x80;
  const unsigned most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (!is_between(byte(1), least, most)) {
    return 0;
  }
  const std::size_t size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  for (std::size_t i = 2; i < size; ++i) {
    if (!is_between(byte(i), 0x80, 0xbf)) {
      return 0;
    }
  }
  return size;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    auto size = shown_bytes(text);
    if (size > 0) {
      result += text.substr(0, size);
    } else {
      result +=
          fmt::format("\\x{:02x}", static_cast<unsigned char>(text.front()));
      size = 1;
    }
    text.remove_prefix(size);
  }
  return result;
}

}  // namespace cifar10
