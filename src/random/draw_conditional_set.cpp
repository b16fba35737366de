// SPDX-License-Identifier: MIT
#include "draw_conditional_set.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace gatedpaths::detail {
namespace {

// A number >= 0 with an exponent of its own: products of thousands of odds are
// far outside the range of double.
class Scaled {
 public:
  explicit Scaled(double value, int64_t exponent = 0) {
    int own = 0;
    fraction_ = std::frexp(value, &own);
    exponent_ = fraction_ == 0 ? 0 : exponent + own;
  }

  Scaled operator*(const Scaled& other) const {
    return Scaled(fraction_ * other.fraction_, exponent_ + other.exponent_);
  }

  Scaled operator+(const Scaled& other) const {
    if (fraction_ == 0 || other.fraction_ == 0) {
      return fraction_ == 0 ? other : *this;
    }
    if (exponent_ < other.exponent_) {
      return other + *this;
    }
    return Scaled(
        fraction_ + shifted(other.fraction_, other.exponent_ - exponent_),
        exponent_);
  }

  // As a share of a sum that it is a part of; 0 of 0.
  double share_of(const Scaled& sum) const {
    return fraction_ == 0
               ? 0
               : shifted(fraction_ / sum.fraction_, exponent_ - sum.exponent_);
  }

 private:
  // `exponent` is never far above 0.
  static double shifted(double fraction, int64_t exponent) {
    constexpr int64_t kVanishes = -2000;
    return std::ldexp(
        fraction, static_cast<int>(std::max(exponent, kVanishes)));
  }

  double fraction_ = 0;  // 0, or in [0.5, 1)
  int64_t exponent_ = 0;
};

}  // namespace

ConditionalSets::ConditionalSets(
    c10::ArrayRef<double> odds, int64_t min_open, int64_t max_open) {
  TORCH_INTERNAL_ASSERT(
      0 <= min_open && min_open <= max_open &&
      max_open <= static_cast<int64_t>(odds.size()) &&
      possible(odds, min_open, max_open));
  std::vector<double> free_odds;
  for (size_t i = 0; i < odds.size(); ++i) {
    TORCH_INTERNAL_ASSERT(odds[i] >= 0);
    if (std::isinf(odds[i])) {
      always_.push_back(static_cast<int64_t>(i));
    } else if (odds[i] > 0) {
      free_.push_back(static_cast<int64_t>(i));
      free_odds.push_back(odds[i]);
    }
  }
  const auto opened = static_cast<int64_t>(always_.size());
  const auto left = static_cast<int64_t>(free_.size());
  min_open = std::max(min_open - opened, int64_t{0});
  max_open = std::min(max_open - opened, left);
  if (min_open == left) {  // no choice is left
    always_.insert(always_.end(), free_.begin(), free_.end());
    std::sort(always_.begin(), always_.end());
    free_.clear();
  } else if (max_open == 0) {
    free_.clear();
  } else if (min_open == 1 && max_open == 1) {
    fill_cumulative(free_odds);
  } else {
    fill_chances(free_odds, min_open, max_open);
  }
}

bool ConditionalSets::possible(
    c10::ArrayRef<double> odds, int64_t min_open, int64_t max_open) {
  const auto infinite = std::numeric_limits<double>::infinity();
  const auto always = std::count(odds.begin(), odds.end(), infinite);
  const auto never = std::count(odds.begin(), odds.end(), 0.0);
  return always <= max_open &&
         static_cast<int64_t>(odds.size()) - never >= min_open;
}

void ConditionalSets::fill_cumulative(c10::ArrayRef<double> odds) {
  const double largest = *std::max_element(odds.begin(), odds.end());
  double sum = 0;
  for (const double each : odds) {
    sum += each / largest;
    cumulative_.push_back(sum);
  }
}

// From the last branch to the first, with weights[k] the sum of the products of
// odds over all ways to go on from there where k branches before are open. With
// `width_` open ones the bounds have no more say: none may follow, or all.
void ConditionalSets::fill_chances(
    c10::ArrayRef<double> odds, int64_t min_open, int64_t max_open) {
  const bool no_upper = max_open == static_cast<int64_t>(odds.size());
  width_ = static_cast<size_t>(no_upper ? min_open : max_open);
  chances_.resize(odds.size() * width_);
  after_.resize(no_upper ? odds.size() : 0);
  std::vector<Scaled> weights;
  for (size_t k = 0; k <= width_; ++k) {
    weights.emplace_back(k >= static_cast<size_t>(min_open) ? 1 : 0);
  }
  for (size_t i = odds.size(); i > 0; --i) {
    const Scaled own(odds[i - 1]);
    for (size_t k = 0; k < width_; ++k) {
      const Scaled opened = own * weights[k + 1];
      weights[k] = weights[k] + opened;
      chances_[(i - 1) * width_ + k] = opened.share_of(weights[k]);
    }
    if (no_upper) {
      const Scaled either = Scaled(1) + own;
      weights[width_] = weights[width_] * either;
      after_[i - 1] = own.share_of(either);
    }
  }
}

void ConditionalSets::draw(
    CounterRandom& random, std::vector<int64_t>& open) const {
  open.clear();
  if (!cumulative_.empty()) {
    draw_one(random, open);
  } else {
    draw_each(random, open);
  }
  const auto drawn = static_cast<std::ptrdiff_t>(open.size());
  open.insert(open.end(), always_.begin(), always_.end());
  if (drawn != 0 && !always_.empty()) {
    std::inplace_merge(open.begin(), open.begin() + drawn, open.end());
  }
}

void ConditionalSets::draw_one(
    CounterRandom& random, std::vector<int64_t>& open) const {
  const double target = random.uniform() * cumulative_.back();
  const auto place =
      std::upper_bound(cumulative_.begin(), cumulative_.end(), target);
  // The product above may round up to the sum of all.
  const auto last = static_cast<std::ptrdiff_t>(free_.size()) - 1;
  const auto index = std::min(place - cumulative_.begin(), last);
  open.push_back(free_[static_cast<size_t>(index)]);
}

void ConditionalSets::draw_each(
    CounterRandom& random, std::vector<int64_t>& open) const {
  size_t taken = 0;
  for (size_t i = 0; i < free_.size(); ++i) {
    const bool is_after = taken == width_;
    if (is_after && after_.empty()) {
      return;
    }
    const double chance = is_after ? after_[i] : chances_[i * width_ + taken];
    if (random.uniform() < chance) {
      open.push_back(free_[i]);
      taken += is_after ? 0 : 1;
    }
  }
}

std::vector<double> conditional_odds(
    std::string_view caller,
    std::string_view place,
    c10::ArrayRef<double> probabilities,
    int64_t min_open,
    int64_t max_open) {
  std::vector<double> odds;
  for (const double probability : probabilities) {
    odds.push_back(odds_of(probability));
  }
  TORCH_CHECK_VALUE(
      ConditionalSets::possible(odds, min_open, max_open),
      fmt::format(
          "{}: expected probabilities that allow {} to {} open branches of "
          "{}{}, got {} that are 0 and {} that are 1",
          caller,
          min_open,
          max_open,
          odds.size(),
          place,
          std::count(probabilities.begin(), probabilities.end(), 0.0),
          std::count(probabilities.begin(), probabilities.end(), 1.0)));
  return odds;
}

void draw_conditional_set(
    CounterRandom& random,
    c10::ArrayRef<double> probabilities,
    int64_t min_open,
    int64_t max_open,
    std::vector<int64_t>& open) {
  for (size_t i = 0; i < probabilities.size(); ++i) {
    TORCH_CHECK_VALUE(
        0 <= probabilities[i] && probabilities[i] <= 1,
        fmt::format(
            "draw_conditional_set: expected probabilities in [0, 1], got {} "
            "for branch {}",
            probabilities[i],
            i));
  }
  const auto odds = conditional_odds(
      "draw_conditional_set", "", probabilities, min_open, max_open);
  ConditionalSets(odds, min_open, max_open).draw(random, open);
}

}  // namespace gatedpaths::detail
