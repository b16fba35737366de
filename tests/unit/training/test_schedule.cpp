// SPDX-License-Identifier: MIT
#include <gatedpaths/training/schedule.hpp>

#include <bit>
#include <cmath>
#include <limits>
#include <numbers>

#include "support/catch.hpp"
#include "support/errors.hpp"

using Catch::Matchers::WithinRel;
using gatedpaths::Schedule;
using gatedpaths::test::message_of;

namespace {

constexpr double kLeastDouble = std::numeric_limits<double>::denorm_min();
constexpr double kMostDouble = std::numeric_limits<double>::max();
constexpr double kInfiniteDouble = std::numeric_limits<double>::infinity();
constexpr uint64_t kLastOfSteps = std::numeric_limits<uint64_t>::max();

std::string schedule_parse_error(const std::string& text) {
  return message_of<c10::ValueError>([&] { Schedule::parse(text); });
}

}  // namespace

TEST_CASE("Schedule: numbers follow the formula", "[schedule]") {
  const auto linear = Schedule::linear(1, 3, 8);
  const auto cosine = Schedule::cosine(1, 3, 8);
  const auto exponential = Schedule::exponential(5, 0.1, 8);
  for (uint64_t step = 0; step <= 8; ++step) {
    const double t = static_cast<double>(step) / 8;
    CHECK_THAT(linear.at(step), WithinRel(1 + 2 * t, 1e-15));
    CHECK_THAT(
        cosine.at(step),
        WithinRel(1 + 2 * (1 - std::cos(std::numbers::pi * t)) / 2, 1e-15));
    CHECK_THAT(
        exponential.at(step), WithinRel(5 * std::pow(0.1 / 5, t), 1e-14));
    CHECK(Schedule::constant(0.3).at(step) == 0.3);
  }
  CHECK(cosine.at(4) == 2);
}

TEST_CASE("Schedule: both ends are exact, and the last holds", "[schedule]") {
  const double from = 0.3;
  const double to = 0.1;
  const int64_t steps = GENERATE(1, 2, 3, 1000);
  for (const auto& schedule :
       {Schedule::linear(from, to, steps),
        Schedule::cosine(from, to, steps),
        Schedule::exponential(from, to, steps)}) {
    const auto last = static_cast<uint64_t>(steps);
    CHECK(schedule.at(0) == from);
    CHECK(schedule.at(last) == to);
    CHECK(schedule.at(last + 1) == to);
    CHECK(schedule.at(kLastOfSteps) == to);
    for (uint64_t step = 0; step < last; ++step) {
      CHECK(schedule.at(step) >= schedule.at(step + 1));
    }
  }
}

TEST_CASE("Schedule: a warm-up goes before the schedule", "[schedule]") {
  const auto schedule = Schedule::cosine(0.8, 0, 10);
  const auto warmed = schedule.with_warm_up(4);
  CHECK(warmed.at(0) == 0);
  CHECK(warmed.at(1) == 0.2);
  CHECK_THAT(warmed.at(3), WithinRel(0.6, 1e-15));
  for (uint64_t step = 0; step < 12; ++step) {
    CHECK(warmed.at(step + 4) == schedule.at(step));
  }
  CHECK_THAT(schedule.with_warm_up(2, 1.6).at(1), WithinRel(1.2, 1e-15));
  CHECK(Schedule::constant(4).with_warm_up(2).at(1) == 2);
  CHECK(Schedule::constant(4).with_warm_up(2).at(2) == 4);

  // The last warm-up holds.
  CHECK(warmed.with_warm_up(2, 0.5) == schedule.with_warm_up(2, 0.5));
}

TEST_CASE(
    "Schedule: numbers at the ends of double do not overflow", "[schedule]") {
  const double extremes[] = {kLeastDouble, 1e-300, 1, 1e300, kMostDouble};
  for (const double from : extremes) {
    for (const double to : extremes) {
      for (uint64_t step = 0; step <= 4; ++step) {
        CAPTURE(from, to, step);
        const double low = std::min(from, to);
        const double high = std::max(from, to);
        for (const double value :
             {Schedule::linear(from, to, 4).at(step),
              Schedule::cosine(from, to, 4).at(step),
              Schedule::exponential(from, to, 4).at(step)}) {
          CHECK(value >= low);
          CHECK(value <= high);
        }
        CHECK(std::isfinite(Schedule::linear(-from, to, 4).at(step)));
      }
    }
  }
  CHECK_THAT(
      Schedule::exponential(1e-200, 1e200, 2).at(1), WithinRel(1.0, 1e-12));
  const auto endless =
      Schedule::linear(0, 1, std::numeric_limits<int64_t>::max());
  CHECK(endless.at(uint64_t{1} << 62U) == 0.5);
  CHECK(endless.at(kLastOfSteps) == 1);
}

TEST_CASE("Schedule: its text is as documented", "[schedule]") {
  CHECK(
      Schedule::constant(0.5).to_string() ==
      "gatedpaths-schedule-1:constant(value=0.5)");
  CHECK(
      Schedule::linear(0, 1, 7).to_string() ==
      "gatedpaths-schedule-1:linear(from=0,to=1,steps=7)");
  CHECK(
      Schedule::cosine(5, 0.1, 1000).to_string() ==
      "gatedpaths-schedule-1:cosine(from=5,to=0.1,steps=1000)");
  CHECK(
      Schedule::exponential(5, 0.1, 1000).with_warm_up(20).to_string() ==
      "gatedpaths-schedule-1:exponential(from=5,to=0.1,steps=1000)"
      "+warm_up(from=0,steps=20)");
}

TEST_CASE("Schedule: text and back is exact, bit for bit", "[schedule]") {
  const double third = 1.0 / 3;
  const int64_t most = std::numeric_limits<int64_t>::max();
  for (const double value :
       {0.1, third, kLeastDouble, kMostDouble, 1e22, 123456789.125}) {
    for (const auto& schedule :
         {Schedule::constant(value),
          Schedule::constant(-value).with_warm_up(most, value),
          Schedule::linear(-value, value, 1),
          Schedule::cosine(value, third, most),
          Schedule::exponential(third, value, 12).with_warm_up(3, -value)}) {
      CAPTURE(schedule.to_string());
      const auto parsed = Schedule::parse(schedule.to_string());
      CHECK(parsed == schedule);
      CHECK(parsed.to_string() == schedule.to_string());
      for (const uint64_t step : {uint64_t{0}, uint64_t{2}, kLastOfSteps}) {
        CHECK(
            std::bit_cast<uint64_t>(parsed.at(step)) ==
            std::bit_cast<uint64_t>(schedule.at(step)));
      }
    }
  }
  const auto negative_zero =
      Schedule::parse(Schedule::constant(-0.0).to_string());
  CHECK(std::signbit(negative_zero.at(0)));
}

TEST_CASE("Schedule: compares form, numbers and warm-up", "[schedule]") {
  const auto schedule = Schedule::linear(1, 2, 3);
  CHECK(schedule == Schedule::linear(1, 2, 3));
  CHECK(schedule != Schedule::cosine(1, 2, 3));
  CHECK(schedule != Schedule::linear(0, 2, 3));
  CHECK(schedule != Schedule::linear(1, 0, 3));
  CHECK(schedule != Schedule::linear(1, 2, 4));
  CHECK(schedule != schedule.with_warm_up(1));
  CHECK(schedule.with_warm_up(1) != schedule.with_warm_up(2));
  CHECK(schedule.with_warm_up(1) != schedule.with_warm_up(1, 2));
}

TEST_CASE("Schedule: errors name function and value", "[schedule][error]") {
  const auto message = [](const auto& make) {
    return message_of<c10::ValueError>(make);
  };
  CHECK(message([] {
          Schedule::constant(kInfiniteDouble);
        }) == "Schedule::constant: expected a finite number, got value=inf");
  CHECK(message([] {
          Schedule::linear(std::nan(""), 1, 2);
        }) == "Schedule::linear: expected a finite number, got from=nan");
  CHECK(message([] {
          Schedule::cosine(1, -kInfiniteDouble, 2);
        }) == "Schedule::cosine: expected a finite number, got to=-inf");
  CHECK(message([] {
          Schedule::linear(1, 2, 0);
        }) == "Schedule::linear: expected steps >= 1, got 0");
  CHECK(message([] {
          Schedule::cosine(1, 2, -5);
        }) == "Schedule::cosine: expected steps >= 1, got -5");
  CHECK(message([] {
          Schedule::exponential(1, 2, 0);
        }) == "Schedule::exponential: expected steps >= 1, got 0");
  CHECK(
      message([] { Schedule::exponential(1, 0, 2); }) ==
      "Schedule::exponential: expected numbers > 0, got from=1 and to=0");
  CHECK(
      message([] { Schedule::exponential(-1, 2, 2); }) ==
      "Schedule::exponential: expected numbers > 0, got from=-1 and to=2");
  CHECK(message([] {
          Schedule::constant(1).with_warm_up(0);
        }) == "Schedule::with_warm_up: expected steps >= 1, got 0");
  CHECK(message([] {
          Schedule::constant(1).with_warm_up(1, std::nan(""));
        }) == "Schedule::with_warm_up: expected a finite number, got from=nan");
}

TEST_CASE(
    "Schedule: a text of another version names both", "[schedule][error]") {
  CHECK(
      schedule_parse_error("gatedpaths-schedule-2:sine(from=0,to=1)") ==
      "Schedule::parse: expected version 1 of 'gatedpaths-schedule', got "
      "version 2 in 'gatedpaths-schedule-2:sine(from=0,to=1)'");
  CHECK(
      schedule_parse_error("gatedpaths-schedule-:constant(value=1)") ==
      "Schedule::parse: expected a version, got ':constant(value=1)' in "
      "'gatedpaths-schedule-:constant(value=1)'");
}

TEST_CASE(
    "Schedule: a text of another form says what was expected",
    "[schedule][error]") {
  const auto [rest, expected, got] =
      GENERATE(table<std::string, std::string, std::string>(
          {{"sine(a=1)",
            "'constant(', 'linear(', 'cosine(' or 'exponential('",
            "sine(a=1)"},
           {"constant(0.5)", "'value='", "0.5)"},
           {"constant(value=)", "a finite number", ")"},
           {"constant(value=inf)", "a finite number", "inf)"},
           {"constant(value=nan)", "a finite number", "nan)"},
           {"constant(value=1e999)", "a finite number", "1e999)"},
           {"constant(value=1 )", "')'", " )"},
           {"constant(value=1)+cool_down(", "the end", "+cool_down("},
           {"constant(value=1)x", "the end", "x"},
           {"linear(to=1,from=0,steps=2)", "'from='", "to=1,from=0,steps=2)"},
           {"linear(from=0;to=1,steps=2)", "','", ";to=1,steps=2)"},
           {"cosine(from=0,to=1,steps=x)", "a whole number", "x)"},
           {"cosine(from=0,to=1,steps=2.5)", "')'", ".5)"},
           {"cosine(from=0,to=1,steps=9223372036854775808)",
            "a whole number",
            "9223372036854775808)"},
           {"cosine(from=0,to=1", "','", ""},
           {"constant(value=1)+warm_up(steps=1)", "'from='", "steps=1)"}}));
  const std::string text = "gatedpaths-schedule-1:" + rest;
  CHECK(
      schedule_parse_error(text) == "Schedule::parse: expected " + expected +
                                        ", got '" + got + "' in '" + text +
                                        "'");
}

TEST_CASE(
    "Schedule: a text of something else is no schedule", "[schedule][error]") {
  CHECK(
      schedule_parse_error("") ==
      "Schedule::parse: expected 'gatedpaths-schedule-', got '' in ''");
  CHECK(
      schedule_parse_error("gatedpaths-schedule-1;constant(value=1)") ==
      "Schedule::parse: expected ':', got ';constant(value=1)' in "
      "'gatedpaths-schedule-1;constant(value=1)'");
  CHECK(
      schedule_parse_error(
          "gatedpaths-schedule-1:linear(from=0,to=1,steps=0)") ==
      "Schedule::linear: expected steps >= 1, got 0");
}
