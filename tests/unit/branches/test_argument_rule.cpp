// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/argument_rule.hpp>

#include <bit>
#include <cstdint>

#include "support/catch.hpp"

using gatedpaths::detail::ArgumentRule;
using gatedpaths::detail::OutputSpec;
using gatedpaths::detail::SizeRule;
using gatedpaths::detail::TensorSpec;

namespace {

constexpr auto kTrust = static_cast<int64_t>(ArgumentRule::kTrust);

// `[N, size]`
OutputSpec output_of(int64_t size, at::ScalarType dtype = at::kFloat) {
  TensorSpec tensor;
  tensor.sizes = {
      SizeRule{.fixed = 0, .per_sample = 1},
      SizeRule{.fixed = size, .per_sample = 0}};
  tensor.dtype = dtype;
  OutputSpec output;
  output.tensors.push_back(tensor);
  return output;
}

ArgumentRule::Numbers ints(int64_t a, int64_t b = 0) {
  return {{a, /*is_int=*/true}, {b, /*is_int=*/true}};
}

int64_t expected_size(const ArgumentRule& rule, int64_t a, int64_t b = 0) {
  const auto output = rule.expect(ints(a, b));
  return output ? output->tensors.front().sizes.back().fixed : -1;
}

}  // namespace

TEST_CASE("ArgumentRule: finds a line along one number", "[branches]") {
  ArgumentRule rule;
  CHECK_FALSE(rule.expect(ints(1)));
  for (int64_t a = 1; a <= kTrust; ++a) {
    CHECK_FALSE(rule.is_trusted());
    rule.see(ints(a, a % 3), output_of(5 + 2 * (a % 3)));
  }
  CHECK(rule.is_trusted());
  CHECK(expected_size(rule, 100, 7) == 19);
  CHECK(expected_size(rule, 100, -3) == -1);  // a negative size
}

TEST_CASE(
    "ArgumentRule: the same values again tell nothing new", "[branches]") {
  ArgumentRule rule;
  for (int64_t i = 0; i < 10 * kTrust; ++i) {
    rule.see(ints(i % 4), output_of(6));
  }
  CHECK_FALSE(rule.is_trusted());
  CHECK(expected_size(rule, 9) == 6);
}

TEST_CASE(
    "ArgumentRule: looks again after as many values as it saw", "[branches]") {
  ArgumentRule rule;
  int64_t value = 0;
  for (; value < kTrust; ++value) {
    rule.see(ints(value), output_of(6));
  }
  for (const int64_t trusted : {kTrust, 2 * kTrust + 1}) {
    for (int64_t i = 0; i < trusted; ++i, ++value) {
      REQUIRE(rule.is_trusted());
      rule.count_trusted();
    }
    REQUIRE_FALSE(rule.is_trusted());
    rule.see(ints(value++), output_of(6));
  }
}

TEST_CASE("ArgumentRule: is slower to trust once it was wrong", "[branches]") {
  ArgumentRule rule;
  int64_t value = 0;
  for (; value < kTrust; ++value) {
    rule.see(ints(value), output_of(6));
  }
  rule.see(ints(value++), output_of(7));
  CHECK(expected_size(rule, value) == 7);
  for (int64_t i = 1; i < 4 * kTrust; ++i) {
    REQUIRE_FALSE(rule.is_trusted());
    rule.see(ints(value++), output_of(7));
  }
  CHECK(rule.is_trusted());
  rule.see(ints(value++), output_of(7, at::kHalf));
  CHECK_FALSE(rule.is_trusted());
  CHECK(rule.expect(ints(value))->tensors.front().dtype == at::kHalf);
}

TEST_CASE(
    "ArgumentRule: no size follows the bits of a floating number",
    "[branches]") {
  ArgumentRule rule;
  const auto bits = [](double number) {
    return ArgumentRule::Numbers{
        {std::bit_cast<int64_t>(number), /*is_int=*/false}};
  };
  for (int64_t i = 0; i < 2 * kTrust; ++i) {
    rule.see(bits(static_cast<double>(i)), output_of(i));
  }
  CHECK_FALSE(rule.is_trusted());
  for (int64_t i = 0; i < 4 * kTrust; ++i) {
    rule.see(bits(-1.0 - static_cast<double>(i)), output_of(3));
  }
  CHECK(rule.is_trusted());
  CHECK(rule.expect(bits(0.1))->tensors.front().sizes.back().fixed == 3);
}

TEST_CASE("ArgumentRule: huge numbers do not overflow", "[branches]") {
  ArgumentRule rule;
  rule.see(ints(INT64_MIN), output_of(1));
  rule.see(ints(INT64_MAX), output_of(2));
  rule.see(ints(0), output_of(3));
  rule.see(ints(1), output_of(4));
  CHECK(expected_size(rule, 2) == 5);
  CHECK_FALSE(rule.expect(ints(INT64_MAX)));
}
