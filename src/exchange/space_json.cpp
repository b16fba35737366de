// SPDX-License-Identifier: MIT
#include <gatedpaths/exchange/space_json.hpp>

#include "../paths/has_size.hpp"
#include "../text/json_text.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

namespace gatedpaths {
namespace {

using SpaceJson = detail::OrderedJson;

constexpr std::string_view kSpaceFormat = "gatedpaths space 1";
constexpr std::string_view kPathFormat = "gatedpaths path 1";

void require_layout(std::string_view where, const void* layout) {
  TORCH_CHECK_VALUE(
      layout != nullptr, where, ": expected a space, got a null pointer");
}

SpaceJson size_json(const SpaceLayout& layout) {
  // Near the bound the logarithm does not tell.
  if (detail::has_size(layout) && layout.log2_size() < 64.5) {
    try {
      return layout.size();
    } catch (const c10::ValueError&) {
      return nullptr;
    }
  }
  return nullptr;
}

SpaceJson gate_json(const SpaceLayout& layout, const GateLayout& gate) {
  SpaceJson inside = SpaceJson::array();
  for (const GatePlace& place : gate.places) {
    const GateLayout& around = layout.gate(place.gate);
    inside.push_back(
        {{"gate", around.name},
         {"branch", around.branch_names[static_cast<size_t>(place.branch)]}});
  }
  return {
      {"name", gate.name},
      {"branches", gate.branch_names},
      {"min_open", gate.min_open},
      {"max_open", gate.max_open},
      {"inside", inside}};
}

int64_t count_of_json(const SpaceJson& gate, const char* key) {
  const SpaceJson& json = gate.at(key);
  TORCH_CHECK_VALUE(
      json.is_number_integer() &&
          (!json.is_number_unsigned() || json.get<uint64_t>() <= INT64_MAX),
      fmt::format(
          "space_from_json: expected a whole number as {} of gate '{}', got {}",
          key,
          gate.at("name").get<std::string>(),
          json.dump()));
  return json.get<int64_t>();
}

GatePlace place_of_json(
    const SpaceJson& json, const std::vector<GateLayout>& earlier) {
  const auto gate = json.at("gate").get<std::string>();
  const auto branch = json.at("branch").get<std::string>();
  const auto around = std::ranges::find(earlier, gate, &GateLayout::name);
  TORCH_CHECK_VALUE(
      around != earlier.end(),
      fmt::format(
          "space_from_json: expected a gate to be inside of an earlier one, "
          "got '{}'",
          gate));
  const auto& names = around->branch_names;
  const auto at = std::ranges::find(names, branch);
  TORCH_CHECK_VALUE(
      at != names.end(),
      fmt::format(
          "space_from_json: expected a branch of gate '{}', got '{}'",
          gate,
          branch));
  return {
      .gate = std::distance(earlier.begin(), around),
      .branch = std::distance(names.begin(), at)};
}

GateLayout gate_of_json(
    const SpaceJson& json, const std::vector<GateLayout>& earlier) {
  GateLayout gate;
  json.at("name").get_to(gate.name);
  json.at("branches").get_to(gate.branch_names);
  gate.min_open = count_of_json(json, "min_open");
  gate.max_open = count_of_json(json, "max_open");
  for (const SpaceJson& place : json.at("inside")) {
    gate.places.push_back(place_of_json(place, earlier));
  }
  return gate;
}

// Throws where the text says something else of the gates than they do.
void check_stated(
    const SpaceJson& json, const char* key, const SpaceJson& expected) {
  TORCH_CHECK_VALUE(
      !json.contains(key) || json.at(key) == expected,
      fmt::format(
          "space_from_json: expected the {} {} of these gates, got {}",
          key,
          expected.dump(),
          json.at(key).dump()));
}

Path path_of_open(const SpaceLayout& layout, const SpaceJson& open) {
  for (const auto& item : open.items()) {
    static_cast<void>(layout.gate_index(item.key()));  // throws for a stranger
  }
  size_t used = 0;
  Path path = layout.make_path([&](int64_t number, std::vector<int64_t>& set) {
    const GateLayout& gate = layout.gate(number);
    TORCH_CHECK_VALUE(
        open.contains(gate.name),
        fmt::format(
            "path_from_json: expected the open branches of gate '{}', which is "
            "reached, got none",
            gate.name));
    ++used;
    for (const SpaceJson& branch : open.at(gate.name)) {
      const auto name = branch.get<std::string>();
      const auto at = std::ranges::find(gate.branch_names, name);
      TORCH_CHECK_INDEX(
          at != gate.branch_names.end(),
          fmt::format(
              "path_from_json: expected a branch of gate '{}', got '{}'",
              gate.name,
              name));
      set.push_back(std::distance(gate.branch_names.begin(), at));
    }
    std::ranges::sort(set);
  });
  TORCH_CHECK_VALUE(
      used == open.size(),
      fmt::format(
          "path_from_json: expected the {} gates that '{}' reaches, got {}",
          used,
          layout.to_string(path),
          open.size()));
  return path;
}

}  // namespace

std::string space_to_json(const std::shared_ptr<const SpaceLayout>& layout) {
  require_layout("space_to_json", layout.get());
  SpaceJson gates = SpaceJson::array();
  for (const GateLayout& gate : layout->gates()) {
    gates.push_back(gate_json(*layout, gate));
  }
  const SpaceJson json{
      {"format", kSpaceFormat},
      {"hash", detail::hash_text(layout->hash())},
      {"size", size_json(*layout)},
      {"gates", gates}};
  return detail::json_text("space_to_json", json, 2) + "\n";
}

std::shared_ptr<const SpaceLayout> space_from_json(std::string_view text) {
  return detail::read_json(
      "space_from_json",
      "a space that space_to_json wrote",
      kSpaceFormat,
      text,
      [](const SpaceJson& json) {
        std::vector<GateLayout> gates;
        for (const SpaceJson& gate : json.at("gates")) {
          gates.push_back(gate_of_json(gate, gates));
        }
        auto layout = std::make_shared<const SpaceLayout>(std::move(gates));
        check_stated(json, "hash", detail::hash_text(layout->hash()));
        check_stated(json, "size", size_json(*layout));
        return layout;
      });
}

std::string path_to_json(
    const std::shared_ptr<const SpaceLayout>& layout, const Path& path) {
  require_layout("path_to_json", layout.get());
  TORCH_CHECK_VALUE(
      path.space_hash() == layout->hash(),
      fmt::format(
          "path_to_json: expected a path of space {}, got one of space {}",
          detail::hash_text(layout->hash()),
          detail::hash_text(path.space_hash())));
  SpaceJson open = SpaceJson::object();
  for (const auto& setting : path) {
    const GateLayout& gate = layout->gate(setting.gate);
    SpaceJson& names = open[gate.name] = SpaceJson::array();
    for (const int64_t branch : setting.open) {
      names.push_back(gate.branch_names[static_cast<size_t>(branch)]);
    }
  }
  const SpaceJson json{
      {"format", kPathFormat},
      {"space", detail::hash_text(layout->hash())},
      {"path", layout->to_string(path)},
      {"open", open}};
  return detail::json_text("path_to_json", json, 2) + "\n";
}

Path path_from_json(
    const std::shared_ptr<const SpaceLayout>& layout, std::string_view text) {
  require_layout("path_from_json", layout.get());
  return detail::read_json(
      "path_from_json",
      "a path that path_to_json wrote",
      kPathFormat,
      text,
      [&](const SpaceJson& json) {
        const auto hash = detail::hash_text(layout->hash());
        TORCH_CHECK_VALUE(
            !json.contains("space") || json.at("space") == hash,
            fmt::format(
                "path_from_json: expected a path of space {}, got one of space "
                "{}",
                hash,
                json.value("space", SpaceJson()).dump()));
        std::optional<Path> path;
        if (json.contains("path")) {
          path = layout->parse(json.at("path").get<std::string>());
        }
        if (!path || json.contains("open")) {
          Path open = path_of_open(*layout, json.at("open"));
          TORCH_CHECK_VALUE(
              !path || *path == open,
              fmt::format(
                  "path_from_json: expected 'path' and 'open' to say the same, "
                  "got '{}' and '{}'",
                  layout->to_string(*path),
                  layout->to_string(open)));
          path = std::move(open);
        }
        return *std::move(path);
      });
}

}  // namespace gatedpaths
