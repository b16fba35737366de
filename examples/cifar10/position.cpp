// SPDX-License-Identifier: MIT
#include "position.hpp"

#include "json.hpp"

#include <c10/util/Exception.h>

#include <cmath>
#include <limits>

namespace cifar10 {
namespace {

/// Null where there is none.
const ReadJson& member(const ReadJson& json, const char* name) {
  static const ReadJson none;
  const auto found = json.find(name);
  return found == json.end() ? none : *found;
}

bool is_count(const ReadJson& json, const char* name) {
  const auto& value = member(json, name);
  return value.is_number_integer() && value >= 0 &&
         value <= std::numeric_limits<std::int64_t>::max();
}

bool is_amount(const ReadJson& json, const char* name) {
  const auto& value = member(json, name);
  return value.is_number() && value >= 0.0 &&
         std::isfinite(value.get<double>());
}

bool is_position(const ReadJson& json) {
  return json.is_object() && is_count(json, "epoch") &&
         is_count(json, "batch") && is_count(json, "step") &&
         is_amount(json, "loss_sum") && is_amount(json, "seconds") &&
         (!json.contains("run") || member(json, "run").is_string());
}

bool is_within(const Position& position, const RunLength& length) {
  const auto& [epoch, batch, step, loss_sum, seconds, run] = position;
  return epoch <= length.epochs && batch <= length.steps_per_epoch &&
         (epoch < length.epochs || batch == 0) &&
         step == epoch * length.steps_per_epoch + batch &&
         (batch > 0 || (loss_sum == 0 && seconds == 0));
}

}  // namespace

std::string position_text(const Position& position) {
  return Json{
      {"epoch", position.epoch},
      {"batch", position.batch},
      {"step", position.step},
      {"loss_sum", position.loss_sum},
      {"seconds", position.seconds},
      {"run", position.run}}
      .dump();
}

Position parse_position(
    std::string_view name, const std::string& text, const RunLength& length) {
  const auto json = ReadJson::parse(text, nullptr, /*allow_exceptions=*/false);
  Position position;
  if (is_position(json)) {
    position = {
        .epoch = json.at("epoch"),
        .batch = json.at("batch"),
        .step = json.at("step"),
        .loss_sum = json.at("loss_sum"),
        .seconds = json.at("seconds"),
        .run = json.value("run", "")};
  }
  TORCH_CHECK_VALUE(
      is_position(json) && is_within(position, length),
      name,
      ": expected a position in a run of ",
      length.epochs,
      " epochs of ",
      length.steps_per_epoch,
      " steps, got '",
      text,
      "'");
  return position;
}

}  // namespace cifar10
