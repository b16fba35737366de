// SPDX-License-Identifier: MIT
#include <gatedpaths/training/schedule.hpp>

#include "../text/text_reader.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numbers>

namespace gatedpaths {
namespace {

constexpr std::string_view kScheduleFamily = "gatedpaths-schedule";
constexpr int64_t kScheduleVersion = 1;

void check_finite(
    std::string_view method, std::string_view name, double value) {
  TORCH_CHECK_VALUE(
      std::isfinite(value),
      fmt::format(
          "Schedule::{}: expected a finite number, got {}={}",
          method,
          name,
          value));
}

void check_steps(std::string_view method, int64_t steps) {
  TORCH_CHECK_VALUE(
      steps >= 1,
      fmt::format("Schedule::{}: expected steps >= 1, got {}", method, steps));
}

void check_way(std::string_view method, double from, double to, int64_t steps) {
  check_finite(method, "from", from);
  check_finite(method, "to", to);
  check_steps(method, steps);
}

}  // namespace

Schedule Schedule::constant(double value) {
  check_finite("constant", "value", value);
  return {Form::kConstant, value, value, 1};
}

Schedule Schedule::linear(double from, double to, int64_t steps) {
  check_way("linear", from, to, steps);
  return {Form::kLinear, from, to, steps};
}

Schedule Schedule::cosine(double from, double to, int64_t steps) {
  check_way("cosine", from, to, steps);
  return {Form::kCosine, from, to, steps};
}

Schedule Schedule::exponential(double from, double to, int64_t steps) {
  check_way("exponential", from, to, steps);
  TORCH_CHECK_VALUE(
      from > 0 && to > 0,
      fmt::format(
          "Schedule::exponential: expected numbers > 0, got from={} and to={}",
          from,
          to));
  return {Form::kExponential, from, to, steps};
}

Schedule Schedule::with_warm_up(int64_t steps, double from) const {
  check_finite("with_warm_up", "from", from);
  check_steps("with_warm_up", steps);
  Schedule warmed = *this;
  warmed.warm_up_steps_ = steps;
  warmed.warm_up_from_ = from;
  return warmed;
}

double Schedule::at(uint64_t step) const {
  const auto warm_up = static_cast<uint64_t>(warm_up_steps_);
  if (step < warm_up) {
    const double t = static_cast<double>(step) / static_cast<double>(warm_up);
    return std::lerp(warm_up_from_, from_, t);
  }
  step -= warm_up;
  if (step == 0) {
    return from_;
  }
  if (step >= static_cast<uint64_t>(steps_)) {
    return to_;
  }
  const double t = static_cast<double>(step) / static_cast<double>(steps_);
  switch (form_) {
    case Form::kConstant:
      return to_;
    case Form::kLinear:
      return std::lerp(from_, to_, t);
    case Form::kCosine:
      return std::lerp(from_, to_, (1 - std::cos(std::numbers::pi * t)) / 2);
    case Form::kExponential: {
      // The quotient of the two numbers may be beyond double, and rounding must
      // not lead beyond the two.
      const double value =
          std::exp(std::lerp(std::log(from_), std::log(to_), t));
      return std::clamp(value, std::min(from_, to_), std::max(from_, to_));
    }
  }
  TORCH_INTERNAL_ASSERT(false);
}

std::string Schedule::to_string() const {
  constexpr std::string_view kForms[] = {
      "constant", "linear", "cosine", "exponential"};
  std::string text = fmt::format(
      "{}-{}:{}(",
      kScheduleFamily,
      kScheduleVersion,
      kForms[static_cast<size_t>(form_)]);
  const auto end = std::back_inserter(text);
  if (form_ == Form::kConstant) {
    fmt::format_to(end, "value={})", to_);
  } else {
    fmt::format_to(end, "from={},to={},steps={})", from_, to_, steps_);
  }
  if (warm_up_steps_ != 0) {
    fmt::format_to(
        end, "+warm_up(from={},steps={})", warm_up_from_, warm_up_steps_);
  }
  return text;
}

Schedule Schedule::parse(std::string_view text) {
  detail::TextReader reader("Schedule::parse", text);
  reader.version(kScheduleFamily, kScheduleVersion);
  const auto way = [&](Schedule (*make)(double, double, int64_t)) {
    const double from = reader.number("from");
    reader.expect(",");
    const double to = reader.number("to");
    reader.expect(",");
    return make(from, to, reader.count("steps"));
  };
  Schedule schedule = constant(0);
  if (reader.skip("constant(")) {
    schedule = constant(reader.number("value"));
  } else if (reader.skip("linear(")) {
    schedule = way(linear);
  } else if (reader.skip("cosine(")) {
    schedule = way(cosine);
  } else if (reader.skip("exponential(")) {
    schedule = way(exponential);
  } else {
    reader.fail("'constant(', 'linear(', 'cosine(' or 'exponential('");
  }
  reader.expect(")");
  if (reader.skip("+warm_up(")) {
    const double from = reader.number("from");
    reader.expect(",");
    schedule = schedule.with_warm_up(reader.count("steps"), from);
    reader.expect(")");
  }
  reader.end();
  return schedule;
}

}  // namespace gatedpaths
