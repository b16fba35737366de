// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/named_branch.hpp>

#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"

using gatedpaths::AnyBranch;
using gatedpaths::NamedBranch;
using gatedpaths::OutputShape;
using torch::nn::Conv2d;
using torch::nn::Linear;
using torch::nn::LinearImpl;

template <class Child, class M>
constexpr bool named_branch_takes =
    std::is_constructible_v<NamedBranch<Child>, std::string, M>;

// Any module where the child may be any; otherwise all forms of the child.
static_assert(named_branch_takes<AnyBranch, Linear>);
static_assert(named_branch_takes<AnyBranch, AnyBranch>);
static_assert(named_branch_takes<AnyBranch, std::shared_ptr<LinearImpl>>);
static_assert(named_branch_takes<Linear, Linear>);
static_assert(named_branch_takes<Linear, const Linear&>);
static_assert(named_branch_takes<Linear, LinearImpl>);
static_assert(named_branch_takes<Linear, std::shared_ptr<LinearImpl>>);
static_assert(named_branch_takes<std::shared_ptr<LinearImpl>, Linear>);
static_assert(!named_branch_takes<Linear, Conv2d>);
static_assert(!named_branch_takes<Linear, AnyBranch>);
static_assert(!named_branch_takes<AnyBranch, int>);

TEST_CASE("NamedBranch: holds a name, a module and a shape", "[named_branch]") {
  const Linear linear(3, 4);
  const NamedBranch<> plain("a", linear);
  CHECK(plain.name == "a");
  CHECK(plain.branch.ptr() == linear.ptr());
  CHECK_FALSE(plain.output_shape.has_sizes());

  const NamedBranch<Linear> declared("b", linear.ptr(), {4});
  CHECK(declared.branch.ptr() == linear.ptr());
  CHECK(declared.output_shape.sizes({}) == std::vector<int64_t>{4});

  const std::vector<NamedBranch<>> list = {
      {"a", linear},
      {"b", torch::nn::ReLU(), OutputShape::like_open_sibling()},
      {"c", LinearImpl(3, 4), {4}}};
  CHECK(list[1].output_shape.is_like_open_sibling());
  CHECK(list[2].branch.get<LinearImpl>().options.out_features() == 4);
}
