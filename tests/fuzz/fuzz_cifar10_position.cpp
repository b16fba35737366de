// SPDX-License-Identifier: MIT
// The position in a checkpoint: an error, or a place within the run, whose text
// stands for it.
#include "harnesses.hpp"
#include "input.hpp"
#include "position.hpp"
#include "promise.hpp"

#include <cmath>

namespace gatedpaths::fuzz {

void cifar10_position(Bytes bytes) {
  constexpr cifar10::RunLength kLength{.epochs = 12, .steps_per_epoch = 30};
  cifar10::Position position;
  if (is_refused<c10::ValueError>("x: expected a position in a run of ", [&] {
        position = cifar10::parse_position("x", text_of(bytes), kLength);
      })) {
    return;
  }
  require(0 <= position.epoch && position.epoch <= 12, "an epoch of the run");
  require(0 <= position.batch && position.batch <= 30, "a batch of the epoch");
  require(
      position.step == position.epoch * 30 + position.batch,
      "all steps before it");
  require(
      std::isfinite(position.loss_sum) && std::isfinite(position.seconds) &&
          position.loss_sum >= 0 && position.seconds >= 0,
      "finite amounts");
  const auto text = cifar10::position_text(position);
  const auto again = cifar10::parse_position("x", text, kLength);
  require(again == position, "its text stands for it");
}

}  // namespace gatedpaths::fuzz
