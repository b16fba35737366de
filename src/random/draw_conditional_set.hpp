// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include "counter_random.hpp"

#include <c10/util/ArrayRef.h>

#include <cstdint>
#include <string_view>
#include <vector>

namespace gatedpaths::detail {

/// The odds of a probability, `p / (1 - p)`; infinity for 1.
inline double odds_of(double probability) {
  return probability / (1 - probability);
}

/// The sets of `min_open` to `max_open` branches, each with a probability in
/// proportion to the product of the odds of its members: the law of independent
/// draws of all branches, given that as many are open as the bounds allow
/// (conditional Poisson sampling; Chen, Dempster and Liu, Biometrika 81(3),
/// 1994). Nothing is drawn twice, however unlikely the bounds are.
///
/// Odds of 0 close a branch for good, infinite ones open it. Where the bounds
/// allow every set, the branches are independent; where exactly one branch is
/// open, it is drawn in proportion to the odds.
///
/// The table of chances takes time and memory in
/// `odds.size() * (max_open < odds.size() ? max_open : min_open)`. Products of
/// odds may leave the range of double; the chances keep its precision.
class GATEDPATHS_EXPORT ConditionalSets {
 public:
  /// `odds` in `[0, infinity]`, `0 <= min_open <= max_open <= odds.size()`, and
  /// `possible(...)`; anything else is a bug of the caller.
  ConditionalSets(
      c10::ArrayRef<double> odds, int64_t min_open, int64_t max_open);

  /// Whether any set within the bounds has all branches of infinite odds, and
  /// none of odds 0.
  static bool possible(
      c10::ArrayRef<double> odds, int64_t min_open, int64_t max_open);

  /// Draws a set and writes it to `open`, ascending. Time in the number of
  /// branches; in its logarithm where exactly one is open.
  void draw(CounterRandom& random, std::vector<int64_t>& open) const;

 private:
  void fill_cumulative(c10::ArrayRef<double> odds);
  void fill_chances(
      c10::ArrayRef<double> odds, int64_t min_open, int64_t max_open);
  void draw_one(CounterRandom& random, std::vector<int64_t>& open) const;
  void draw_each(CounterRandom& random, std::vector<int64_t>& open) const;

  std::vector<int64_t> always_;  // infinite odds
  std::vector<int64_t> free_;    // open or closed, by chance

  // Where exactly one free branch is open: sums of odds up to each. Else empty.
  std::vector<double> cumulative_;

  // By free branch, and by how many free ones before it are open, as far as
  // that matters (width_): the chance that it is open.
  size_t width_ = 0;
  std::vector<double> chances_;
  // The same from `width_` open ones on, where the bounds no longer matter;
  // empty where no more may be open.
  std::vector<double> after_;
};

/// The odds of each of `probabilities`, in `[0, 1]`.
///
/// Throws: `c10::ValueError`, in the name of `caller`, where those of 0 and 1
/// leave no set that the bounds allow; `place` says where, as `" in gate 'a'"`.
std::vector<double> conditional_odds(
    std::string_view caller,
    std::string_view place,
    c10::ArrayRef<double> probabilities,
    int64_t min_open,
    int64_t max_open);

/// Draws a set of `min_open` to `max_open` branches from `ConditionalSets`, the
/// odds being those of `probabilities`, and writes it to `open`, ascending. Who
/// draws often keeps a `ConditionalSets`.
///
/// Throws: `c10::ValueError` for a probability outside `[0, 1]`, and where
/// those of 0 and 1 leave no set that the bounds allow.
GATEDPATHS_EXPORT void draw_conditional_set(
    CounterRandom& random,
    c10::ArrayRef<double> probabilities,
    int64_t min_open,
    int64_t max_open,
    std::vector<int64_t>& open);

}  // namespace gatedpaths::detail
