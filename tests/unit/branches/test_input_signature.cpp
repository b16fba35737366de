// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/input_signature.hpp>

#include <c10/core/DefaultDtype.h>

#include <complex>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "support/autocast.hpp"
#include "support/catch.hpp"

using gatedpaths::detail::InputSignature;
using gatedpaths::test::Autocast;

namespace {

enum class Choice { kOne, kTwo };

struct PlainSettings {
  int32_t stride;
  int32_t width;
};

// Nothing is known of such a type.
struct Opaque {
  float scale;
  std::shared_ptr<int> more;
};

template <class A, class B>
bool same_kind_of(const A& a, const B& b) {
  const auto x = torch::ones({2, 3});
  const auto first = InputSignature::of(x, a);
  const auto second = InputSignature::of(x, b);
  const bool same = first == second;
  CHECK(same == (first.hash() == second.hash()));
  return same;
}

}  // namespace

TEST_CASE(
    "InputSignature: all numbers, texts and choices count", "[branches]") {
  CHECK(same_kind_of(1, 1));
  CHECK_FALSE(same_kind_of(1, 2));
  CHECK_FALSE(same_kind_of(uint64_t{1}, uint64_t{1} << 63U));
  CHECK_FALSE(same_kind_of(true, false));
  CHECK_FALSE(same_kind_of(Choice::kOne, Choice::kTwo));
  CHECK(same_kind_of(0.5, 0.5));
  CHECK_FALSE(same_kind_of(0.5, 0.25));
  CHECK_FALSE(same_kind_of(0.5F, 0.25F));
  CHECK_FALSE(same_kind_of(at::Half(0.5F), at::Half(0.25F)));
  CHECK_FALSE(
      same_kind_of(std::complex<float>(1, 2), std::complex<float>(1, 3)));
  CHECK_FALSE(same_kind_of(at::Scalar(1), at::Scalar(2)));
  CHECK_FALSE(same_kind_of(at::Scalar(1), at::Scalar(1.0)));
  CHECK_FALSE(same_kind_of(at::Scalar(0.5), at::Scalar(0.25)));
  CHECK_FALSE(same_kind_of(at::Device(at::kCPU), at::Device(at::kMeta)));
  CHECK_FALSE(same_kind_of(std::string("same"), std::string("full")));
  const char* const word = "same";
  CHECK(same_kind_of(word, "same"));
  CHECK_FALSE(same_kind_of(word, "full"));
  CHECK_FALSE(
      same_kind_of(std::optional<double>(0.5), std::optional<double>()));
  CHECK_FALSE(
      same_kind_of(std::vector<int64_t>{1, 2}, std::vector<int64_t>{1, 3}));
  CHECK_FALSE(same_kind_of(
      std::vector<bool>{true, false}, std::vector<bool>{true, true}));
  CHECK_FALSE(same_kind_of(
      std::variant<int, double>(1), std::variant<int, double>(1.0)));
  CHECK_FALSE(same_kind_of(
      std::map<std::string, double>{{"a", 1}},
      std::map<std::string, double>{{"a", 2}}));
  CHECK_FALSE(same_kind_of(PlainSettings{1, 2}, PlainSettings{1, 3}));
  CHECK(same_kind_of(PlainSettings{1, 2}, PlainSettings{1, 2}));
}

TEST_CASE(
    "InputSignature: where something lies in memory does not count",
    "[branches]") {
  CHECK(same_kind_of(std::make_shared<int>(1), std::make_shared<int>(2)));
  const int one = 1;
  const int two = 1;
  CHECK(same_kind_of(&one, &two));
  CHECK(same_kind_of(Opaque{1, nullptr}, Opaque{2, nullptr}));
}

TEST_CASE("InputSignature: knows which of it are numbers", "[branches]") {
  const auto x = torch::ones({2, 3});
  const auto of = [&](int64_t n, double f, bool flag) {
    return InputSignature::of(x, std::vector<int64_t>{n, 7}, f, flag);
  };
  const auto signature = of(5, 0.5, true);
  const auto numbers = signature.numbers();
  REQUIRE(numbers.size() == 3);
  CHECK(numbers[0].value == 5);
  CHECK(numbers[0].is_int);
  CHECK(numbers[1].value == 7);
  CHECK_FALSE(numbers[2].is_int);
  CHECK(signature.without_numbers() == of(6, 0.25, true).without_numbers());
  CHECK_FALSE(
      signature.without_numbers() == of(5, 0.5, false).without_numbers());
  CHECK_FALSE(InputSignature::of(x, std::string("text")).has_numbers());
}

TEST_CASE("InputSignature: what is set around the call counts", "[branches]") {
  const auto x = torch::ones({2, 3});
  const auto plain = InputSignature::of(x);
  {
    const Autocast autocast;
    CHECK_FALSE(InputSignature::of(x) == plain);
  }
  c10::set_default_dtype(c10::scalarTypeToTypeMeta(torch::kDouble));
  CHECK_FALSE(InputSignature::of(x) == plain);
  c10::set_default_dtype(c10::scalarTypeToTypeMeta(torch::kFloat));
  CHECK(InputSignature::of(x) == plain);
}
