// SPDX-License-Identifier: MIT
#include "src/text/fnv1a.hpp"

#include <string_view>

#include "support/catch.hpp"

using gatedpaths::detail::Fnv1a;

TEST_CASE("Fnv1a: gives the published function's numbers", "[fnv1a]") {
  CHECK(Fnv1a().value() == 0xcbf29ce484222325U);
  // The bytes 1 to 8, the lowest first, whatever the machine's order is.
  CHECK(
      Fnv1a().add(uint64_t{0x0807060504030201U}).value() ==
      0x7eb5108b368a78edU);
  // A text comes with its length, as eight bytes before it.
  CHECK(Fnv1a().add(std::string_view("foobar")).value() == 0xb277229a2d9d19f2U);
}

TEST_CASE("Fnv1a: no two lists of texts run into one", "[fnv1a]") {
  using std::string_view_literals::operator""sv;
  const auto ab_c = Fnv1a().add("ab"sv).add("c"sv).value();
  CHECK(ab_c != Fnv1a().add("a"sv).add("bc"sv).value());
  CHECK(ab_c != Fnv1a().add("abc"sv).add(""sv).value());
  CHECK(ab_c == Fnv1a().add("ab"sv).add("c"sv).value());
}
