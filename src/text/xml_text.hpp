// SPDX-License-Identifier: MIT
// Text as it stands in XML. Not installed.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace gatedpaths::detail {

/// The text, which is UTF-8, as XML's content or as an attribute's value. What
/// XML cannot hold, control characters above all, is written `\x1b`.
inline std::string xml_text(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const auto byte = static_cast<unsigned char>(c);
    const auto character = text.substr(i, 3);
    if (c == '&') {
      result += "&amp;";
    } else if (c == '<') {
      result += "&lt;";
    } else if (c == '>') {
      result += "&gt;";
    } else if (c == '"') {
      result += "&quot;";
    } else if (byte < 0x20 || byte == 0x7f) {
      result += fmt::format("\\x{:02x}", byte);
    } else if (character == "\xef\xbf\xbe" || character == "\xef\xbf\xbf") {
      result += character[2] == '\xbe' ? "\\ufffe" : "\\uffff";
      i += 2;
    } else {
      result += c;
    }
  }
  return result;
}

}  // namespace gatedpaths::detail
