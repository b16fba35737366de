// SPDX-License-Identifier: MIT
#include <gatedpaths/search/search_history.hpp>

#include "json_lines.hpp"
#include "pareto_fronts.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

namespace gatedpaths {
namespace {

using detail::OrderedJson;
using detail::ParsedJson;

constexpr int kHistoryVersion = 1;

OrderedJson objectives_json(const std::vector<Objective>& objectives) {
  auto json = OrderedJson::array();
  for (const auto& [name, direction] : objectives) {
    json.push_back(
        {{"name", name},
         {"direction",
          direction == Direction::kMaximize ? "maximize" : "minimize"}});
  }
  return json;
}

OrderedJson record_json(const SearchRecord& record, const std::string& path) {
  return {
      {"path", path},
      {"values", record.values},
      {"cost", record.cost},
      {"seconds", record.seconds},
      {"rank", record.rank},
      {"length", record.length},
      {"seed", record.seed},
      {"ask", record.ask},
      {"asked", record.asked}};
}

// Brackets may be nested so deep that dump() would not come back.
std::string value_text(const ParsedJson& value) {
  return value.is_primitive() ? value.dump() : value.type_name();
}

// get() would turn one kind of number into another.
double real_of(const ParsedJson& object, const char* key) {
  const auto& value = object.at(key);
  TORCH_CHECK_VALUE(
      value.is_number(),
      "expected a number as '",
      key,
      "', got ",
      value_text(value));
  return value.get<double>();
}

int64_t integer_of(const ParsedJson& object, const char* key) {
  const auto& value = object.at(key);
  TORCH_CHECK_VALUE(
      value.is_number_integer(),
      "expected an integer as '",
      key,
      "', got ",
      value_text(value));
  return value.get<int64_t>();
}

uint64_t count_of(const ParsedJson& object, const char* key) {
  const auto& value = object.at(key);
  TORCH_CHECK_VALUE(
      value.is_number_unsigned(),
      "expected an integer of at least 0 as '",
      key,
      "', got ",
      value_text(value));
  return value.get<uint64_t>();
}

SearchRecord record_of_json(
    const SpaceLayout& layout, const ParsedJson& object) {
  SearchRecord record;
  record.path = layout.parse(object.at("path").get<std::string>());
  const auto& values = object.at("values");
  TORCH_CHECK_VALUE(
      values.is_array(),
      "expected an array as 'values', got ",
      value_text(values));
  for (const auto& value : values) {
    TORCH_CHECK_VALUE(
        value.is_number() || value.is_string(),
        "expected numbers as 'values', got ",
        value_text(value));
    record.values.push_back(detail::number_of_json(value));
  }
  record.cost = real_of(object, "cost");
  record.seconds = real_of(object, "seconds");
  record.rank = integer_of(object, "rank");
  record.length = integer_of(object, "length");
  record.seed = count_of(object, "seed");
  record.ask = count_of(object, "ask");
  record.asked = count_of(object, "asked");
  return record;
}

void tell_result(SearchStrategy& strategy, const SearchRecord& record) {
  if (record.values.empty()) {
    strategy.tell_failure(record.path);
  } else {
    strategy.tell(record.path, record.values);
  }
}

}  // namespace

SearchHistory::SearchHistory(
    std::shared_ptr<const SpaceLayout> layout,
    std::vector<Objective> objectives)
    : layout_(std::move(layout)), objectives_(std::move(objectives)) {
  TORCH_CHECK_VALUE(
      layout_ != nullptr,
      "SearchHistory: expected a space, got a null pointer");
  TORCH_CHECK_VALUE(
      !objectives_.empty(),
      "SearchHistory: expected at least 1 objective, got none");
}

SearchHistory::SearchHistory(
    std::shared_ptr<const SpaceLayout> layout,
    std::vector<Objective> objectives,
    std::filesystem::path file)
    : SearchHistory(std::move(layout), std::move(objectives)) {
  const OrderedJson head = {
      {"gatedpaths_history", kHistoryVersion},
      {"space", detail::hash_text(layout_->hash())},
      {"objectives", objectives_json(objectives_)}};
  lines_ = std::make_unique<detail::JsonLines>(
      std::move(file), head, detail::JsonLinesWords{"SearchHistory", "record"});
  lines_->read([this](const ParsedJson& object) {
    auto record = record_of_json(*layout_, object);
    check(record, "");
    records_.push_back(std::move(record));
  });
}

SearchHistory::SearchHistory(SearchHistory&&) noexcept = default;
SearchHistory& SearchHistory::operator=(SearchHistory&&) noexcept = default;
SearchHistory::~SearchHistory() = default;

void SearchHistory::add(SearchRecord record) {
  check(record, "::add");
  if (lines_) {
    const auto path = layout_->to_string(record.path);
    lines_->append(record_json(record, path), path);
  }
  records_.push_back(std::move(record));
}

void SearchHistory::tell(SearchStrategy& strategy, SearchRecord record) {
  check_strategy(strategy, "tell");
  record.seed = strategy.seed();
  record.ask = strategy.ask_number(record.path);
  record.asked = strategy.asked();
  check(record, "::tell");
  add(std::move(record));
  tell_result(strategy, records_.back());
}

void SearchHistory::replay(SearchStrategy& strategy) const {
  check_strategy(strategy, "replay");
  TORCH_CHECK_VALUE(
      strategy.asked() == 0 && strategy.told() == 0,
      fmt::format(
          "SearchHistory::replay: expected a new strategy, got one that asked "
          "for {} paths and was told {} results",
          strategy.asked(),
          strategy.told()));
  for (size_t i = 0; i < records_.size(); ++i) {
    const SearchRecord& record = records_[i];
    while (strategy.asked() < record.asked && !strategy.ask().empty()) {
    }
    const uint64_t ask = strategy.ask_number(record.path);
    TORCH_CHECK_VALUE(
        strategy.asked() == record.asked && ask == record.ask &&
            strategy.seed() == record.seed,
        fmt::format(
            "SearchHistory::replay: expected the strategy of record {}, of "
            "seed "
            "{}, which had asked for {} paths, '{}' being number {}, got {} of "
            "seed {}, with {} paths, that one being number {}",
            i,
            record.seed,
            record.asked,
            layout_->to_string(record.path),
            record.ask,
            strategy.text(),
            strategy.seed(),
            strategy.asked(),
            ask));
    tell_result(strategy, record);
  }
}

void SearchHistory::teach(SearchStrategy& strategy) const {
  check_strategy(strategy, "teach");
  for (const SearchRecord& record : records_) {
    tell_result(strategy, record);
  }
}

std::optional<size_t> SearchHistory::best(size_t objective) const {
  check_objective(objective, "best");
  std::optional<size_t> best;
  for (size_t i = 0; i < records_.size(); ++i) {
    if (!records_[i].values.empty() &&
        (!best || score(i, objective) > score(*best, objective))) {
      best = i;
    }
  }
  return best;
}

std::vector<double> SearchHistory::best_so_far(size_t objective) const {
  check_objective(objective, "best_so_far");
  const double sign =
      objectives_[objective].direction == Direction::kMaximize ? 1 : -1;
  double best = -std::numeric_limits<double>::infinity();
  std::vector<double> curve;
  for (size_t i = 0; i < records_.size(); ++i) {
    if (!records_[i].values.empty()) {
      best = std::max(best, score(i, objective));
    }
    curve.push_back(sign * best);
  }
  return curve;
}

std::vector<double> SearchHistory::regret(
    double optimum, size_t objective) const {
  check_objective(objective, "regret");
  TORCH_CHECK_VALUE(
      std::isfinite(optimum),
      fmt::format(
          "SearchHistory::regret: expected a finite optimum, got {}", optimum));
  const bool is_maximum =
      objectives_[objective].direction == Direction::kMaximize;
  auto curve = best_so_far(objective);
  for (double& value : curve) {
    value = is_maximum ? optimum - value : value - optimum;
  }
  return curve;
}

std::vector<size_t> SearchHistory::pareto_front() const {
  struct Member {
    size_t record;
    std::vector<double> scores;
  };
  std::vector<Member> front;
  for (size_t i = 0; i < records_.size(); ++i) {
    if (records_[i].values.empty()) {
      continue;
    }
    std::vector<double> scores;
    for (size_t objective = 0; objective < objectives_.size(); ++objective) {
      scores.push_back(score(i, objective));
    }
    const bool is_beaten =
        std::any_of(front.begin(), front.end(), [&](const Member& member) {
          return member.scores == scores ||
                 detail::dominates(member.scores, scores);
        });
    if (is_beaten) {
      continue;
    }
    front.erase(
        std::remove_if(
            front.begin(),
            front.end(),
            [&](const Member& member) {
              return detail::dominates(scores, member.scores);
            }),
        front.end());
    front.push_back({i, std::move(scores)});
  }
  std::vector<size_t> records;
  for (const Member& member : front) {
    records.push_back(member.record);
  }
  return records;
}

void SearchHistory::check(
    const SearchRecord& record, const char* method) const {
  TORCH_CHECK_VALUE(
      record.path.space_hash() == layout_->hash(),
      fmt::format(
          "SearchHistory{}: expected a path of space {:#018x}, got one of "
          "space {:#018x}",
          method,
          layout_->hash(),
          record.path.space_hash()));
  TORCH_CHECK_VALUE(
      record.values.empty() || record.values.size() == objectives_.size(),
      fmt::format(
          "SearchHistory{}: expected {} values, or none for a failure, got {}",
          method,
          objectives_.size(),
          record.values.size()));
  const auto check_finite = [&](double value, const std::string& name) {
    TORCH_CHECK_VALUE(
        std::isfinite(value),
        fmt::format(
            "SearchHistory{}: expected a finite '{}', got {} for {}",
            method,
            name,
            value,
            layout_->to_string(record.path)));
  };
  for (size_t i = 0; i < record.values.size(); ++i) {
    check_finite(record.values[i], objectives_[i].name);
  }
  check_finite(record.cost, "cost");
  check_finite(record.seconds, "seconds");
}

void SearchHistory::check_strategy(
    const SearchStrategy& strategy, const char* method) const {
  TORCH_CHECK_VALUE(
      *strategy.layout() == *layout_,
      fmt::format(
          "SearchHistory::{}: expected a strategy of space {:#018x}, got one "
          "of space {:#018x}",
          method,
          layout_->hash(),
          strategy.layout()->hash()));
  TORCH_CHECK_VALUE(
      strategy.options().objectives() == objectives_,
      fmt::format(
          "SearchHistory::{}: expected a strategy with the objectives {}, got "
          "{}",
          method,
          objectives_json(objectives_).dump(),
          objectives_json(strategy.options().objectives()).dump()));
}

void SearchHistory::check_objective(
    size_t objective, const char* method) const {
  TORCH_CHECK_INDEX(
      objective < objectives_.size(),
      fmt::format(
          "SearchHistory::{}: expected an objective in [0, {}), got {}",
          method,
          objectives_.size(),
          objective));
}

double SearchHistory::score(size_t record, size_t objective) const {
  const double value = records_[record].values[objective];
  return objectives_[objective].direction == Direction::kMaximize ? value
                                                                  : -value;
}

}  // namespace gatedpaths
