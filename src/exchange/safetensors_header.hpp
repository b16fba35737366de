// SPDX-License-Identifier: MIT
// The header of safetensors files. Not installed.
#pragma once

#include <gatedpaths/exchange/safetensors.hpp>

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gatedpaths::detail {

/// The most bytes that a header may have, as the format's own reader says.
inline constexpr uint64_t kMostSafetensorsHeader = 100'000'000;

/// A tensor in such a file; its data begins at `begin` behind the header.
struct SafetensorsEntry {
  std::string name;
  c10::ScalarType dtype = c10::ScalarType::Undefined;
  std::vector<int64_t> sizes;
  uint64_t begin = 0;
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  ///< in the order of their data
  SafetensorsMetadata metadata;
};

/// What the text of a header says of `data_size` bytes behind it.
///
/// Throws: `c10::ValueError`, beginning with `label`, where it is malformed.
SafetensorsHeader parse_safetensors_header(
    const std::string& label, std::string_view text, uint64_t data_size);

/// The text of a header, its length in front, padded so that data begins at a
/// multiple of 8 bytes. `function` is for messages.
///
/// Throws: `c10::ValueError` for texts that are not UTF-8, and a header above
/// the limit.
std::string safetensors_header_bytes(
    std::string_view function, const SafetensorsHeader& header);

/// The format's name of a dtype; empty for one that it does not have.
std::string_view safetensors_dtype(c10::ScalarType dtype);

/// A text as JSON, in quotes.
///
/// Throws: `c10::ValueError`, in the name of `function`, where it is not UTF-8.
std::string json_text(std::string_view function, const std::string& text);

}  // namespace gatedpaths::detail
