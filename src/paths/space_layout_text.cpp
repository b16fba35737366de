// SPDX-License-Identifier: MIT
// Paths as text: gate=branch+branch;gate=branch
#include <gatedpaths/paths/space_layout.hpp>

#include "../text/text.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>

namespace gatedpaths {
namespace {

constexpr std::string_view kSpecial = "\\;=+";

void append_escaped(std::string& text, std::string_view name) {
  for (const char c : name) {
    if (kSpecial.find(c) != std::string_view::npos) {
      text += '\\';
    }
    text += c;
  }
}

// The parts between delimiters that no backslash stands before.
std::vector<std::string_view> split(std::string_view text, char delimiter) {
  std::vector<std::string_view> parts;
  size_t start = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == delimiter) {
      parts.push_back(text.substr(start, i - start));
      start = i + 1;
    }
  }
  parts.push_back(text.substr(start));
  return parts;
}

std::string unescaped(std::string_view text) {
  std::string name;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
      TORCH_CHECK_VALUE(
          i < text.size() && kSpecial.find(text[i]) != std::string_view::npos,
          fmt::format(
              "PathSpace::parse: expected one of '\\', ';', '=', '+' after "
              "each "
              "backslash, got '{}'",
              text));
    }
    name += text[i];
  }
  return name;
}

int64_t parse_branch(const GateLayout& gate, std::string_view text) {
  const std::string name = unescaped(text);
  const auto& names = gate.branch_names;
  const auto place = std::find(names.begin(), names.end(), name);
  TORCH_CHECK_INDEX(
      place != names.end(),
      fmt::format(
          "PathSpace::parse: expected one of ({}) for gate '{}', got '{}'",
          detail::quoted(names),
          gate.name,
          name));
  return place - names.begin();
}

std::vector<int64_t> parse_branches(
    const GateLayout& gate, std::string_view text) {
  std::vector<int64_t> open;
  if (!text.empty()) {
    for (const std::string_view branch : split(text, '+')) {
      open.push_back(parse_branch(gate, branch));
    }
  }
  std::sort(open.begin(), open.end());
  const auto twice = std::adjacent_find(open.begin(), open.end());
  TORCH_CHECK_VALUE(
      twice == open.end(),
      fmt::format(
          "PathSpace::parse: expected different branches for gate '{}', got "
          "'{}' twice",
          gate.name,
          gate.branch_names[static_cast<size_t>(*twice)]));
  const auto count = static_cast<int64_t>(open.size());
  TORCH_CHECK_VALUE(
      gate.min_open <= count && count <= gate.max_open,
      fmt::format(
          "PathSpace::parse: expected {} to {} open branches for gate '{}', "
          "got "
          "{} ('{}')",
          gate.min_open,
          gate.max_open,
          gate.name,
          count,
          text));
  return open;
}

}  // namespace

std::string SpaceLayout::to_string(const Path& path) const {
  check_path("to_string", path);
  std::string text;
  for (const auto& [number, open] : path) {
    const GateLayout& gate = gates_[static_cast<size_t>(number)];
    text += text.empty() ? "" : ";";
    append_escaped(text, gate.name);
    char before = '=';
    if (open.empty()) {
      text += before;
    }
    for (const int64_t branch : open) {
      text += before;
      append_escaped(text, gate.branch_names[static_cast<size_t>(branch)]);
      before = '+';
    }
  }
  return text;
}

Path SpaceLayout::parse(std::string_view text) const {
  std::unordered_map<int64_t, std::vector<int64_t>> given;
  const auto entries =
      text.empty() ? std::vector<std::string_view>() : split(text, ';');
  for (const std::string_view entry : entries) {
    const auto sides = split(entry, '=');
    TORCH_CHECK_VALUE(
        sides.size() == 2,
        fmt::format(
            "PathSpace::parse: expected 'gate=branch+branch' between "
            "semicolons, got '{}'",
            entry));
    const std::string name = unescaped(sides[0]);
    const auto number = index_of_.find(name);
    TORCH_CHECK_INDEX(
        number != index_of_.end(),
        fmt::format(
            "PathSpace::parse: expected one of the gates ({}), got '{}'",
            detail::listed(
                gates_,
                [](const GateLayout& gate) {
                  return fmt::format("'{}'", gate.name);
                }),
            name));
    const GateLayout& gate = gates_[static_cast<size_t>(number->second)];
    const bool is_new =
        given.try_emplace(number->second, parse_branches(gate, sides[1]))
            .second;
    TORCH_CHECK_VALUE(
        is_new,
        fmt::format(
            "PathSpace::parse: expected each gate once, got '{}' twice", name));
  }

  Path path = make_path([&](int64_t gate, std::vector<int64_t>& open) {
    const auto setting = given.find(gate);
    TORCH_CHECK_VALUE(
        setting != given.end(),
        fmt::format(
            "PathSpace::parse: expected a setting of gate '{}', got none in "
            "'{}'",
            gates_[static_cast<size_t>(gate)].name,
            text));
    open = setting->second;
  });
  if (static_cast<int64_t>(given.size()) != path.size()) {
    for (const auto& [gate, open] : given) {
      TORCH_CHECK_VALUE(
          path.reaches(gate),
          fmt::format(
              "PathSpace::parse: expected no setting of gate '{}', which lies "
              "in closed branches only, got one in '{}'",
              gates_[static_cast<size_t>(gate)].name,
              text));
    }
  }
  return path;
}

}  // namespace gatedpaths
