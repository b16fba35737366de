// SPDX-License-Identifier: MIT
#include "src/text/tensor_text.hpp"
#include "src/text/text.hpp"

#include <numeric>
#include <string>
#include <vector>

#include "support/catch.hpp"

using gatedpaths::detail::numbers;
using gatedpaths::detail::quoted;
using gatedpaths::detail::sizes_text;
using gatedpaths::detail::tensor_text;

TEST_CASE("text: lists of names and numbers stand between commas", "[text]") {
  CHECK(quoted(std::vector<std::string>{"a", "b c"}) == "'a', 'b c'");
  CHECK(quoted(std::vector<std::string>{}).empty());
  CHECK(numbers(std::vector<int>{0, -1}) == "0, -1");
}

TEST_CASE("text: long lists are cut and say how much is left", "[text]") {
  std::vector<int> items(17);
  std::iota(items.begin(), items.end(), 0);
  CHECK(
      numbers(items) ==
      "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, and 1 more");
  items.pop_back();
  CHECK(numbers(items).ends_with("14, 15"));
}

TEST_CASE("text: a tensor stands as its sizes and dtype", "[text]") {
  CHECK(sizes_text({}) == "[]");
  CHECK(tensor_text(torch::zeros({2, 3})) == "[2, 3] Float");
  CHECK(tensor_text(torch::zeros({}, torch::kBFloat16)) == "[] BFloat16");
  CHECK(tensor_text(torch::Tensor()) == "an undefined tensor");
}
