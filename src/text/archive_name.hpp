// SPDX-License-Identifier: MIT
// Which names come back from LibTorch's archives. Not installed.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace gatedpaths::detail {

/// Why a module or parameter of this name could be saved, but never loaded:
/// LibTorch writes names into an archive as the text of a program and parses
/// that when it loads. Empty for a name that comes back.
inline std::string_view why_not_loadable(std::string_view name) {
  // Words of TorchScript's grammar that stand alone (lexer.h), and what its
  // classes keep for themselves.
  static constexpr std::array<std::string_view, 31> kWords = {
      "Ellipsis",
      "False",
      "None",
      "NoneType",
      "True",
      "and",
      "as",
      "assert",
      "break",
      "class",
      "continue",
      "def",
      "del",
      "elif",
      "else",
      "for",
      "global",
      "if",
      "import",
      "in",
      "is",
      "not",
      "or",
      "pass",
      "raise",
      "return",
      "while",
      "with",
      "__annotations__",
      "__buffers__",
      "__parameters__"};
  if (std::find(kWords.begin(), kWords.end(), name) != kWords.end()) {
    return "a word of TorchScript, which LibTorch's archives are written in";
  }
  if (name.find_first_of("\"\\\n") != std::string_view::npos) {
    return "with a double quote, a backslash or a newline, which LibTorch's "
           "archives cannot hold in a name";
  }
  return {};
}

}  // namespace gatedpaths::detail
