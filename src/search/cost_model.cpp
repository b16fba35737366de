// SPDX-License-Identifier: MIT
#include <gatedpaths/search/cost_model.hpp>

#include "cost_table.hpp"
#include "latency.hpp"
#include "path_meter.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <utility>

namespace gatedpaths {
namespace {

void check_layout(
    std::string_view function,
    const std::shared_ptr<const SpaceLayout>& layout) {
  TORCH_CHECK_VALUE(
      layout != nullptr,
      fmt::format("{}: expected a space, got a null pointer", function));
}

PathCost whole_cost(const detail::PartTallies& tallies) {
  PathCost cost;
  for (const auto& [place, tally] : tallies) {
    cost.macs += tally[0];
    cost.flops += tally[1];
    cost.parameters += tally[2];
    cost.parameter_bytes += tally[3];
    cost.activation_bytes += tally[4];
  }
  return cost;
}

}  // namespace

CostModel::CostModel(
    std::shared_ptr<const SpaceLayout> layout,
    const PathCost& outside,
    std::vector<std::vector<PathCost>> branches)
    : layout_(std::move(layout)) {
  check_layout("CostModel", layout_);
  auto table = std::make_shared<detail::CostTable>();
  table->outside = outside;
  table->branches = std::move(branches);
  table->has.fill(true);
  table->is_additive.fill(true);
  table->check("CostModel", *layout_);
  table_ = std::move(table);
}

CostModel::CostModel(
    std::shared_ptr<const SpaceLayout> layout,
    std::shared_ptr<const detail::CostTable> table,
    std::shared_ptr<detail::PathMeter> meter)
    : layout_(std::move(layout)),
      table_(std::move(table)),
      meter_(std::move(meter)) {}

PathCost CostModel::of(const Path& path) const {
  TORCH_CHECK_VALUE(
      path.space_hash() == layout_->hash(),
      fmt::format(
          "CostModel::of: expected a path of space {:#018x}, got one of space "
          "{:#018x}",
          layout_->hash(),
          path.space_hash()));
  PathCost cost = table_->outside;
  for (const auto& [gate, open] : path) {
    const auto& branches = table_->branches[static_cast<size_t>(gate)];
    for (const int64_t branch : open) {
      cost += branches[static_cast<size_t>(branch)];
    }
  }
  if (table_->all_additive()) {
    return cost;
  }
  const std::scoped_lock lock(table_->mutex);
  auto known = table_->by_path.find(path);
  if (known == table_->by_path.end()) {
    TORCH_CHECK(
        meter_ != nullptr,
        fmt::format(
            "CostModel::of: expected one of the {} paths that were measured as "
            "wholes, got '{}'; this table was read and has no network, and {}",
            table_->by_path.size(),
            layout_->to_string(path),
            table_->why_not_additive));
    PathCost whole;
    {
      const detail::PathMeter::Session session(*meter_);
      whole = whole_cost(meter_->run(session, path));
    }
    if (has(CostKind::kLatency) && !is_additive(CostKind::kLatency)) {
      const auto time = detail::measure_time(*meter_, path);
      whole.latency = time.median;
      whole.latency_spread = time.spread;
    }
    known = table_->by_path.emplace(path, whole).first;
  }
  for (const CostKind kind : kCostKinds) {
    if (has(kind) && !is_additive(kind)) {
      detail::set_cost(cost, kind, known->second);
    }
  }
  return cost;
}

const PathCost& CostModel::outside() const& noexcept { return table_->outside; }

const PathCost& CostModel::branch(int64_t gate, int64_t branch) const& {
  const auto& names = layout_->gate(gate).branch_names;
  TORCH_CHECK_INDEX(
      0 <= branch && branch < static_cast<int64_t>(names.size()),
      fmt::format(
          "CostModel::branch: expected a branch of gate '{}' in [0, {}), got "
          "{}",
          layout_->gate(gate).name,
          names.size(),
          branch));
  return table_
      ->branches[static_cast<size_t>(gate)][static_cast<size_t>(branch)];
}

bool CostModel::has(CostKind kind) const noexcept {
  return table_->has[static_cast<size_t>(kind)];
}

bool CostModel::is_additive(CostKind kind) const noexcept {
  return table_->is_additive[static_cast<size_t>(kind)];
}

const std::string& CostModel::why_not_additive() const& noexcept {
  return table_->why_not_additive;
}

const std::map<std::string, int64_t>& CostModel::unknown_operators()
    const& noexcept {
  return table_->unknown;
}

const std::string& CostModel::convention() const& noexcept {
  return table_->convention;
}

const std::string& CostModel::device() const& noexcept {
  return table_->device;
}

}  // namespace gatedpaths
