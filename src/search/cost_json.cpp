// SPDX-License-Identifier: MIT
#include <gatedpaths/search/cost_model.hpp>

#include "../text/json_text.hpp"
#include "cost_table.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <utility>

namespace gatedpaths {
namespace {

using Json = detail::OrderedJson;

constexpr std::string_view kFormat = "gatedpaths cost 1";

Json json_of_cost(const PathCost& cost) {
  return {
      {"macs", cost.macs},
      {"flops", cost.flops},
      {"parameters", cost.parameters},
      {"parameter_bytes", cost.parameter_bytes},
      {"activation_bytes", cost.activation_bytes},
      {"latency", cost.latency},
      {"latency_spread", cost.latency_spread}};
}

PathCost cost_of_json(const Json& json) {
  PathCost cost;
  json.at("macs").get_to(cost.macs);
  json.at("flops").get_to(cost.flops);
  json.at("parameters").get_to(cost.parameters);
  json.at("parameter_bytes").get_to(cost.parameter_bytes);
  json.at("activation_bytes").get_to(cost.activation_bytes);
  json.at("latency").get_to(cost.latency);
  json.at("latency_spread").get_to(cost.latency_spread);
  return cost;
}

Json names_of_flags(const detail::CostTable::Flags& flags) {
  Json names = Json::array();
  for (const CostKind kind : kCostKinds) {
    if (flags[static_cast<size_t>(kind)]) {
      names.push_back(to_string(kind));
    }
  }
  return names;
}

detail::CostTable::Flags flags_of_names(const Json& names) {
  detail::CostTable::Flags flags{};
  for (const Json& name : names) {
    for (const CostKind kind : kCostKinds) {
      if (name.get<std::string>() == to_string(kind)) {
        flags[static_cast<size_t>(kind)] = true;
      }
    }
  }
  return flags;
}

void read_gates(
    const Json& json, const SpaceLayout& layout, detail::CostTable& table) {
  for (const GateLayout& gate : layout.gates()) {
    const Json& of_gate = json.at(gate.name);
    auto& branches = table.branches.emplace_back();
    for (const std::string& name : gate.branch_names) {
      branches.push_back(cost_of_json(of_gate.at(name)));
    }
  }
}

void read_table(
    const Json& json, const SpaceLayout& layout, detail::CostTable& table) {
  table.outside = cost_of_json(json.at("outside"));
  read_gates(json.at("gates"), layout, table);
  table.has = flags_of_names(json.at("measured"));
  table.is_additive = flags_of_names(json.at("additive"));
  json.at("why_not_additive").get_to(table.why_not_additive);
  json.at("unknown_operators").get_to(table.unknown);
  json.at("convention").get_to(table.convention);
  json.at("device").get_to(table.device);
  for (const auto& item : json.at("paths").items()) {
    table.by_path.emplace(layout.parse(item.key()), cost_of_json(item.value()));
  }
}

}  // namespace

std::string CostModel::to_json() const {
  Json gates = Json::object();
  for (size_t i = 0; i < table_->branches.size(); ++i) {
    const GateLayout& gate = layout_->gates()[i];
    Json& of_gate = gates[gate.name] = Json::object();
    for (size_t b = 0; b < gate.branch_names.size(); ++b) {
      of_gate[gate.branch_names[b]] = json_of_cost(table_->branches[i][b]);
    }
  }
  Json paths = Json::object();
  {
    const std::scoped_lock lock(table_->mutex);
    for (const auto& [path, cost] : table_->by_path) {
      paths[layout_->to_string(path)] = json_of_cost(cost);
    }
  }
  const Json json{
      {"format", kFormat},
      {"space", detail::hash_text(layout_->hash())},
      {"convention", table_->convention},
      {"device", table_->device},
      {"measured", names_of_flags(table_->has)},
      {"additive", names_of_flags(table_->is_additive)},
      {"why_not_additive", table_->why_not_additive},
      {"unknown_operators", table_->unknown},
      {"outside", json_of_cost(table_->outside)},
      {"gates", gates},
      {"paths", paths}};
  return detail::json_text("CostModel::to_json", json, 2) + "\n";
}

CostModel CostModel::from_json(
    std::shared_ptr<const SpaceLayout> layout, std::string_view text) {
  TORCH_CHECK_VALUE(
      layout != nullptr,
      "CostModel::from_json: expected a space, got a null pointer");
  auto table = detail::read_json(
      "CostModel::from_json",
      "a table that to_json wrote",
      kFormat,
      text,
      [&](const Json& json) {
        const auto hash = json.at("space").get<std::string>();
        TORCH_CHECK_VALUE(
            hash == detail::hash_text(layout->hash()),
            fmt::format(
                "CostModel::from_json: expected the costs of space {}, got "
                "those of space {}",
                detail::hash_text(layout->hash()),
                hash));
        auto read = std::make_shared<detail::CostTable>();
        read_table(json, *layout, *read);
        return read;
      });
  table->check("CostModel::from_json", *layout);
  return {std::move(layout), std::move(table), nullptr};
}

}  // namespace gatedpaths
