// SPDX-License-Identifier: MIT
// What a run shows while it is under way: on a terminal a bar in the last line,
// elsewhere plain lines only.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>

namespace cifar10 {

/// "1:02:03", or "2:03" below an hour.
std::string clock_text(double seconds);

struct ProgressState {
  std::int64_t epoch = 0;  // counted from 1
  std::int64_t epochs = 0;
  std::int64_t step = 0;  // in the epoch
  std::int64_t steps = 0;
  std::int64_t steps_left = 0;  // in the run
  double loss = 0;
  std::string label{};  // of what is no training: it has no epoch and no loss
  std::string unit = "steps";
};

/// The bar, at most `width` columns wide.
std::string bar_text(const ProgressState& state, double rate, int width);

class Progress {
 public:
  /// `out` is a terminal or not. One that takes no escape codes (TERM is "dumb"
  /// or not set) gets plain lines.
  explicit Progress(std::FILE* out);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  /// Takes the bar away: the message of an error may follow.
  ~Progress();

  /// Call after every step. `state` is only asked for when something is shown.
  void step(const std::function<ProgressState()>& state);

  /// Call when the steps stop for a while: that time is no step's.
  void pause();

  /// Prints a line for good, as `printable` text.
  void line(const std::string& text);

 private:
  using Clock = std::chrono::steady_clock;

  std::FILE* out_;
  bool terminal_;
  bool bar_shown_ = false;
  double rate_ = 0;  // steps a second, a moving average
  std::int64_t steps_since_ = 0;
  Clock::time_point since_;  // when `steps_since_` began to count
  Clock::time_point last_line_;
};

}  // namespace cifar10
