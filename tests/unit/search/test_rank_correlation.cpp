// SPDX-License-Identifier: MIT
#include <gatedpaths/search/rank_correlation.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <torch/types.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace gatedpaths {
namespace {

using Catch::Matchers::WithinAbs;
using Values = std::vector<double>;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNoOrder = std::numeric_limits<double>::quiet_NaN();

/// By the definition: every pair of pairs is looked at.
double tau_of_all_pairs(const Values& x, const Values& y) {
  double sum = 0;
  double of_x = 0;
  double of_y = 0;
  const auto sign = [](double a, double b) {
    return static_cast<double>((a > b) - (a < b));
  };
  for (size_t i = 0; i < x.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const auto a = sign(x[i], x[j]);
      const auto b = sign(y[i], y[j]);
      sum += a * b;
      of_x += a * a;
      of_y += b * b;
    }
  }
  return sum / std::sqrt(of_x * of_y);
}

/// Small whole numbers, of which many are equal.
Values draw_values(int64_t size, int64_t bound) {
  Values values;
  for (int64_t i = 0; i < size; ++i) {
    values.push_back(
        static_cast<double>(torch::randint(bound, {}).item<int64_t>()));
  }
  return values;
}

}  // namespace

TEST_CASE("rank correlation: what SciPy computes") {
  // scipy 1.17: kendalltau(x, y).statistic, spearmanr(x, y).statistic
  const Values x = {1, 2, 2, 3, 5, 5, 5, 8};
  const Values y = {2, 1, 4, 4, 3, 6, 6, 5};
  CHECK_THAT(kendall_tau(x, y).value, WithinAbs(0.5204164998665333, 1e-12));
  CHECK_THAT(spearman_rho(x, y).value, WithinAbs(0.6895607149652165, 1e-12));
}

TEST_CASE("rank correlation: tau is that of all pairs of pairs") {
  for (const int64_t size : {2, 3, 10, 60}) {
    for (const int64_t bound : {2, 7, 1000}) {
      const auto x = draw_values(size, bound);
      const auto y = draw_values(size, bound);
      CAPTURE(x, y);
      const auto expected = tau_of_all_pairs(x, y);
      const auto tau = kendall_tau(x, y, BootstrapOptions().resamples(0));
      if (std::isnan(expected)) {
        CHECK(std::isnan(tau.value));
      } else {
        CHECK_THAT(tau.value, WithinAbs(expected, 1e-12));
      }
    }
  }
}

TEST_CASE("rank correlation: the order is all that matters") {
  const Values x = {3, 1, 4, 1.5, 9, 2.6};
  Values same;
  Values reverse;
  for (const double value : x) {
    same.push_back(std::exp(value));
    reverse.push_back(-value);
  }
  for (auto* of : {&kendall_tau, &spearman_rho}) {
    const auto one = of(x, same, {});
    CHECK_THAT(one.value, WithinAbs(1, 1e-12));
    CHECK_THAT(one.low, WithinAbs(1, 1e-12));
    CHECK_THAT(one.high, WithinAbs(1, 1e-12));
    CHECK_THAT(of(x, reverse, {}).value, WithinAbs(-1, 1e-12));
    // Infinities have a place in the order.
    CHECK_THAT(
        of(Values{1, kInfinity, -kInfinity}, Values{2, 3, 1}, {}).value,
        WithinAbs(1, 1e-12));
  }
}

TEST_CASE("rank correlation: none is beyond 1") {
  for (int64_t size = 2; size < 300; ++size) {
    Values x;
    for (int64_t i = 0; i < size; ++i) {
      x.push_back(static_cast<double>(i / 2));
    }
    x.back() = -1;  // so that no size has one value alone
    const auto options = BootstrapOptions().resamples(0);
    CHECK(kendall_tau(x, x, options).value <= 1);
    CHECK(spearman_rho(x, x, options).value <= 1);
  }
}

TEST_CASE("rank correlation: without an order there is none") {
  const Values x = {1, 1, 1};
  const Values y = {1, 2, 3};
  for (auto* of : {&kendall_tau, &spearman_rho}) {
    const auto none = of(x, y, {});
    CHECK(std::isnan(none.value));
    CHECK(std::isnan(none.low));
    CHECK(std::isnan(none.high));
    // Samples that have one value alone do not count.
    const auto two = of(Values{1, 2}, Values{1, 2}, {});
    CHECK_THAT(two.low, WithinAbs(1, 1e-12));
    const auto no_interval = of(y, y, BootstrapOptions().resamples(0));
    CHECK_THAT(no_interval.value, WithinAbs(1, 1e-12));
    CHECK(std::isnan(no_interval.low));
  }
}

TEST_CASE("rank correlation: the interval is one of the paths") {
  constexpr int64_t kTrials = 200;
  // Of independent values: about 0, which it should hold 9 times in 10.
  int64_t held = 0;
  for (int64_t trial = 0; trial < kTrials; ++trial) {
    const auto x = draw_values(40, 1000000);
    const auto y = draw_values(40, 1000000);
    const auto tau = kendall_tau(
        x,
        y,
        BootstrapOptions().resamples(200).level(0.9).seed(
            static_cast<uint64_t>(trial)));
    CHECK(tau.low <= tau.high);
    held += tau.low <= 0 && 0 <= tau.high ? 1 : 0;
  }
  // Binomial(200, 0.9): below 165 by chance once in a thousand.
  CHECK(held >= 165);
  CHECK(held < kTrials);
}

TEST_CASE("rank correlation: an interval is a function of the seed") {
  const auto x = draw_values(50, 20);
  const auto y = draw_values(50, 20);
  const auto at = [&](uint64_t seed) {
    return kendall_tau(x, y, BootstrapOptions().seed(seed));
  };
  CHECK(at(3).low == at(3).low);
  CHECK(at(3).high == at(3).high);
  CHECK((at(3).low != at(4).low || at(3).high != at(4).high));
  const auto wide = kendall_tau(x, y, BootstrapOptions().level(0.99));
  const auto narrow = kendall_tau(x, y, BootstrapOptions().level(0.5));
  CHECK(wide.low < narrow.low);
  CHECK(narrow.high < wide.high);
  CHECK(wide.value == narrow.value);
}

TEST_CASE("rank correlation: what cannot be ranked is refused", "[error]") {
  const auto refusal = [](const Values& x,
                          const Values& y,
                          const BootstrapOptions& options = {}) {
    return test::message_of<c10::ValueError>(
        [&] { static_cast<void>(kendall_tau(x, y, options)); });
  };
  CHECK(
      refusal({1, 2, 3}, {1, 2}) ==
      "kendall_tau: expected as many values on both sides, at least 2, got 3 "
      "and 2");
  CHECK(
      refusal({1}, {1}) ==
      "kendall_tau: expected as many values on both sides, at least 2, got 1 "
      "and 1");
  CHECK(
      refusal({1, 2, kNoOrder}, {1, 2, 3}) ==
      "kendall_tau: expected values that have an order, got nan and 3 as pair "
      "2");
  CHECK(
      refusal({1, 2}, {1, 2}, BootstrapOptions().resamples(-1)) ==
      "kendall_tau: expected resamples of at least 0, got -1");
  for (const double level : {0.0, 1.0, -1.0, kNoOrder}) {
    CHECK(refusal({1, 2}, {1, 2}, BootstrapOptions().level(level))
              .starts_with(
                  "kendall_tau: expected a level above 0 and below 1, got "));
  }
  CHECK(
      test::message_of<c10::ValueError>(
          [] { static_cast<void>(spearman_rho(Values{}, Values{})); }) ==
      "spearman_rho: expected as many values on both sides, at least 2, got 0 "
      "and 0");
}

}  // namespace gatedpaths
