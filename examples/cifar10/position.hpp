// SPDX-License-Identifier: MIT
// Where a run is, and as a text in its checkpoint.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cifar10 {

struct Position {
  std::int64_t epoch = 0;  // epochs that are done
  std::int64_t batch = 0;  // batches that are done of the next one
  std::int64_t step = 0;   // batches that are done in all
  double loss_sum = 0;     // of those batches of the next epoch
  double seconds = 0;      // that they took
  std::string run = {};    // names it; of no other one

  bool operator==(const Position&) const = default;
};

/// How far a run goes.
struct RunLength {
  std::int64_t epochs = 0;
  std::int64_t steps_per_epoch = 0;
};

/// A JSON object.
std::string position_text(const Position& position);

/// Takes such a text back. Throws, with `name` in front, where it is no
/// position of a run of this length.
Position parse_position(
    std::string_view name, const std::string& text, const RunLength& length);

}  // namespace cifar10
