// SPDX-License-Identifier: MIT
// A safetensors file that is changed at random.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/safetensors_files.hpp"

namespace gatedpaths::test {

inline constexpr std::string_view kValidHeader =
    R"({"__metadata__":{"format":"pt","note":"x"},)"
    R"("a.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
    R"("b":{"dtype":"I64","shape":[],"data_offsets":[24,32]},)"
    R"("c":{"dtype":"U8","shape":[0,4],"data_offsets":[32,32]},)"
    R"("d":{"dtype":"BF16","shape":[4],"data_offsets":[32,40]}})";

/// Texts in quotes, numbers, and single signs.
inline std::vector<std::string> tokens_of(std::string_view text) {
  std::vector<std::string> tokens;
  while (!text.empty()) {
    std::size_t size = 1;
    if (text.front() == '"') {
      size = text.find('"', 1) + 1;
    } else {
      size = std::max<std::size_t>(1, text.find_first_not_of("0123456789"));
    }
    tokens.emplace_back(text.substr(0, size));
    text.remove_prefix(std::min(size, text.size()));
  }
  return tokens;
}

inline std::vector<std::string> words_of(const std::string& text) {
  std::istringstream words(text);
  return {std::istream_iterator<std::string>(words), {}};
}

/// Gives the file with that header after one or two changes, others each time.
class SafetensorsMutations {
 public:
  explicit SafetensorsMutations(std::uint32_t seed) : random_(seed) {}

  std::string next() {
    auto tokens = tokens_of(kValidHeader);
    std::string data(40, 'x');
    for (auto times = 1 + below(2); times > 0; --times) {
      change(tokens, data);
    }
    std::string header;
    for (const auto& token : tokens) {
      header += token;
    }
    auto bytes = safetensors_bytes(header, data);
    if (below(20) == 0) {
      change_byte(bytes, below(9));
    }
    return bytes;
  }

 private:
  using Tokens = std::vector<std::string>;

  std::size_t below(std::size_t end) { return random_() % end; }

  const std::string& any_of(const Tokens& tokens) {
    return tokens[below(tokens.size())];
  }

  void change_byte(std::string& text, std::size_t at) {
    text[at] = static_cast<char>(below(256));
  }

  void change(Tokens& tokens, std::string& data) {
    static const auto others = words_of(
        R"({ } [ ] , : " \ - 0 1 8 -1 1.0 2e1 null true [] {} "" [[[]]] /**/ )"
        R"("F64" "F4" "BOOL" "x" "\u0062" "x":1, "b":{}, 9223372036854775807 )"
        R"(18446744073709551615 18446744073709551616 "__metadata__" )"
        R"("__metadata__":null,)");
    const auto at = below(tokens.size());
    const auto place = tokens.begin() + static_cast<std::ptrdiff_t>(at);
    switch (below(12)) {
      case 0:
        *place = any_of(others);
        break;
      case 1:
        tokens.insert(place, any_of(others));
        break;
      case 2:
        if (tokens.size() > 1) {
          tokens.erase(place);
        }
        break;
      case 3:
        *place = std::string(any_of(tokens));
        break;
      case 4:
        std::swap(*place, tokens[below(tokens.size())]);
        break;
      case 5: {
        const auto count = std::min(1 + below(30), tokens.size() - at);
        const Tokens piece(place, place + static_cast<std::ptrdiff_t>(count));
        const auto to = below(tokens.size() + 1);
        tokens.insert(
            tokens.begin() + static_cast<std::ptrdiff_t>(to),
            piece.begin(),
            piece.end());
        break;
      }
      case 6:
        change_byte(*place, below(place->size()));
        break;
      case 7:
      case 8:
        if (place->size() > 2) {
          (*place)[1] = static_cast<char>('a' + below(4));
        }
        break;
      case 9:
      case 10:
        tokens.insert(place, std::string(1, " \t\n\r"[below(4)]));
        break;
      default:
        data.resize(data.size() + below(3));
        change_byte(data, below(data.size()));
        break;
    }
  }

  std::mt19937 random_;
};

}  // namespace gatedpaths::test
