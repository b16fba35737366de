// SPDX-License-Identifier: MIT
// Schedules as texts: an error, or a schedule whose text stands for it and
// whose numbers are finite.
#include "harnesses.hpp"
#include "input.hpp"
#include "promise.hpp"

#include <gatedpaths/training/schedule.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

namespace gatedpaths::fuzz {

void schedule_text(Bytes bytes) {
  std::optional<Schedule> schedule;
  if (is_refused<c10::ValueError>(
          "Schedule::", [&] { schedule = Schedule::parse(text_of(bytes)); })) {
    return;
  }
  const auto text = schedule->to_string();
  const auto again = Schedule::parse(text);
  require(again == *schedule, "parse(to_string(schedule)) == schedule");
  require(again.to_string() == text, "a schedule has one text");
  constexpr auto kLast = std::numeric_limits<std::uint64_t>::max();
  for (std::uint64_t step = 0; step < kLast / 2; step = 3 * step + 1) {
    require(std::isfinite(schedule->at(step)), "finite numbers, for " + text);
  }
  require(schedule->at(kLast) == again.at(kLast), "one number at a step");
}

}  // namespace gatedpaths::fuzz
