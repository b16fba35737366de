// SPDX-License-Identifier: MIT
#include "checksum.hpp"

#include "support/catch.hpp"

#include <ATen/ops/arange.h>
#include <ATen/ops/stack.h>

#include <string_view>

namespace cifar10 {

TEST_CASE("Fnv1a: gives the values that its authors published", "[cifar10]") {
  const auto hash = [](std::string_view text) {
    Fnv1a result;
    result.add(text.data(), text.size());
    return result.text();
  };
  CHECK(hash("") == "cbf29ce484222325");
  CHECK(hash("a") == "af63dc4c8601ec8c");
  CHECK(hash("foobar") == "85944171f73967e8");
}

TEST_CASE("checksum: nothing can change without it", "[cifar10]") {
  const auto values = at::arange(6, at::kFloat);
  const Content content{{"text", "some"}, {"values", values}};
  const auto whole = checksum(content);
  CHECK(whole.size() == 16);
  CHECK(checksum({{"text", "some"}, {"values", values.clone()}}) == whole);
  // What is seen of a tensor counts, not how it lies in memory.
  const auto strided = at::stack({values, values}, 1).select(1, 0);
  REQUIRE_FALSE(strided.is_contiguous());
  CHECK(checksum({{"text", "some"}, {"values", strided}}) == whole);

  CHECK(checksum({{"text", "sole"}, {"values", values}}) != whole);
  CHECK(checksum({{"texts", "ome"}, {"values", values}}) != whole);
  CHECK(checksum({{"text", "some"}, {"value", values}}) != whole);
  CHECK(checksum({{"text", "some"}}) != whole);
  CHECK(checksum({{"text", "some"}, {"values", "some"}}) != whole);
  CHECK(checksum({{"text", "some"}, {"values", values.view({2, 3})}}) != whole);
  CHECK(
      checksum({{"text", "some"}, {"values", values.view(at::kInt)}}) != whole);
  auto negated = values.clone();
  negated[0] = -0.0;
  REQUIRE(negated.equal(values));
  CHECK(checksum({{"text", "some"}, {"values", negated}}) != whole);
}

}  // namespace cifar10
