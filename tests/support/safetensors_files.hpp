// SPDX-License-Identifier: MIT
// The bytes of safetensors files that are written by hand.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gatedpaths::test {

struct SafetensorsCase {
  std::string name;
  std::string bytes;
  std::string message = {};  // a part of it, where the file is refused
};

/// A length as such a file begins with it.
inline std::string length_bytes(uint64_t size) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) {
    bytes.push_back(static_cast<char>(size >> (8 * i) & 0xFFU));
  }
  return bytes;
}

inline std::string safetensors_bytes(
    std::string_view header, std::string_view data = {}) {
  return length_bytes(header.size()) + std::string(header) + std::string(data);
}

namespace safetensors_detail {

inline const std::string kData8(8, '\0');

/// One tensor `t`, and 8 bytes of data.
inline std::string one(const std::string& entry, std::string_view data) {
  return safetensors_bytes(R"({"t":{)" + entry + "}}", data);
}
inline std::string one(const std::string& entry) { return one(entry, kData8); }

/// One of F32.
inline std::string f32(const std::string& rest, std::string_view data) {
  return one(R"("dtype":"F32",)" + rest, data);
}
inline std::string f32(const std::string& rest) { return f32(rest, kData8); }

/// Of F32, with this shape.
inline std::string shaped(const std::string& shape) {
  return f32(R"("shape":)" + shape + R"(,"data_offsets":[0,8])");
}

/// Of F32 and shape [2], with these offsets.
inline std::string placed(const std::string& offsets) {
  return f32(R"("shape":[2],"data_offsets":)" + offsets);
}

/// Two of U8 in 8 bytes.
inline std::string two(const std::string& a, const std::string& b) {
  return safetensors_bytes(
      R"({"a":{"dtype":"U8",)" + a + R"(},"b":{"dtype":"U8",)" + b + "}}",
      kData8);
}

/// A whole entry that is as it should be, in 8 bytes.
inline constexpr const char* kGoodEntry =
    R"({"dtype":"U8","shape":[8],"data_offsets":[0,8]})";

inline std::string with_unknown(const std::string& value) {
  return f32(R"("x":)" + value + R"(,"shape":[2],"data_offsets":[0,8])");
}

}  // namespace safetensors_detail

}  // namespace gatedpaths::test
