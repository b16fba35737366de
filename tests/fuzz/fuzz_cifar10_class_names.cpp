// SPDX-License-Identifier: MIT
// The names of classes, and text of files in general, are safe to show: UTF-8
// without control characters.
#include "dataset.hpp"
#include "harnesses.hpp"
#include "input.hpp"
#include "printable.hpp"
#include "promise.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <sstream>

namespace gatedpaths::fuzz {
namespace {

void require_safe(const std::string& text) {
  require(
      std::none_of(
          text.begin(),
          text.end(),
          [](char c) {
            const auto byte = static_cast<unsigned char>(c);
            return (byte < 0x20 && byte != '\n') || byte == 0x7f;
          }),
      "no control characters");
  require(text.find("\xc2\x9b") == std::string::npos, "nor those of two bytes");
  // This JSON library refuses what is no UTF-8.
  require(!nlohmann::json(text).dump().empty(), "UTF-8");
  require(cifar10::printable(text) == text, "what is printable stays");
}

}  // namespace

void cifar10_class_names(Bytes bytes) {
  const auto text = text_of(bytes);
  require_safe(cifar10::printable(text));
  std::istringstream stream(text);
  for (const auto& name : cifar10::read_class_names(stream)) {
    require(!name.empty(), "a name for each class");
    require(name.find('\n') == std::string::npos, "names of one line");
    require_safe(name);
  }
}

}  // namespace gatedpaths::fuzz
