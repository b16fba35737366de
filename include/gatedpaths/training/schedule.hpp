// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace gatedpaths {

/// A number that changes with the step: a drop rate, a temperature, a weight of
/// a loss.
///
/// A small value without a state of its own: the number is a function of the
/// step alone, so that a run that is resumed at a step goes on exactly. It can
/// be copied, compared, and written as text.
///
/// Each schedule goes from one number to another in a number of steps, and then
/// holds the last one. With t = step / steps, from 0 to 1:
///
/// | schedule | number |
/// |---|---|
/// | `linear` | from + (to - from) t |
/// | `cosine` | from + (to - from) (1 - cos(pi t)) / 2 |
/// | `exponential` | from (to / from)^t |
///
/// At step 0 and from step `steps` on, the numbers are `from` and `to` bit for
/// bit.
///
/// Example:
/// ```
/// const auto temperature = gatedpaths::Schedule::exponential(5, 0.1, 10000);
/// const auto rate =
///     gatedpaths::Schedule::cosine(0.3, 0, 10000).with_warm_up(500);
/// for (uint64_t step = 0; step < 10000; ++step) {
///   rate.at(step);                 // 0 to 0.3 in 500 steps, then down to 0
/// }
/// rate == gatedpaths::Schedule::parse(rate.to_string());     // true
/// ```
class GATEDPATHS_EXPORT Schedule {
 public:
  /// The same number at each step.
  ///
  /// Throws: `c10::ValueError` for a number that is not finite.
  static Schedule constant(double value);

  /// Along a straight line.
  ///
  /// Throws: `c10::ValueError` for numbers that are not finite, and for a
  /// number of steps below 1.
  static Schedule linear(double from, double to, int64_t steps);

  /// Along half a wave of the cosine: level at both ends (Loshchilov and
  /// Hutter, "SGDR", arXiv 1608.03983).
  ///
  /// Throws: `c10::ValueError` for numbers that are not finite, and for a
  /// number of steps below 1.
  static Schedule cosine(double from, double to, int64_t steps);

  /// By the same factor in each step, as temperatures are mostly lowered.
  ///
  /// Throws: `c10::ValueError` for numbers that are not finite or not above 0,
  /// and for a number of steps below 1.
  static Schedule exponential(double from, double to, int64_t steps);

  /// The same schedule after a warm-up of `steps` steps, which goes along a
  /// straight line from `from` to its first number. It takes the place of a
  /// warm-up that the schedule already has.
  ///
  /// Throws: `c10::ValueError` for a number that is not finite, and for a
  /// number of steps below 1.
  Schedule with_warm_up(int64_t steps, double from = 0) const;

  /// The number at this step, the first being step 0.
  double at(uint64_t step) const;

  /// The schedule as text, which `parse` takes back bit for bit:
  /// `gatedpaths-schedule-1:cosine(from=0.3,to=0,steps=10000)`, a warm-up as
  /// `+warm_up(from=0,steps=500)` behind it, and
  /// `gatedpaths-schedule-1:constant(value=0.5)`.
  std::string to_string() const;

  /// The schedule that a text of `to_string` stands for.
  ///
  /// Throws: `c10::ValueError`, with the text, for one of another form or
  /// another version, or with numbers that the functions above refuse.
  static Schedule parse(std::string_view text);

  bool operator==(const Schedule&) const = default;

 private:
  enum class Form : uint8_t { kConstant, kLinear, kCosine, kExponential };

  Schedule(Form form, double from, double to, int64_t steps)
      : form_(form), from_(from), to_(to), steps_(steps) {}

  Form form_;
  double from_;
  double to_;
  int64_t steps_;
  int64_t warm_up_steps_ = 0;
  double warm_up_from_ = 0;
};

}  // namespace gatedpaths
