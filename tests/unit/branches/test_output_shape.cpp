// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/output_shape.hpp>

#include <gatedpaths/gates/concat_gate.hpp>

#include <cstdint>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tensors.hpp"

using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::OutputShape;
using gatedpaths::test::all_zero;
using gatedpaths::test::message_of;

namespace {

using Sizes = std::vector<int64_t>;

torch::nn::Linear shape_linear() { return torch::nn::Linear(4, 3); }

}  // namespace

static_assert(!std::is_constructible_v<OutputShape, void (*)()>);
static_assert(!std::is_constructible_v<OutputShape, const char*>);

TEST_CASE(
    "OutputShape: declares sizes, a function, or nothing", "[output_shape]") {
  const OutputShape nothing;
  CHECK_FALSE(nothing.has_sizes());
  CHECK_FALSE(nothing.is_like_open_sibling());
  CHECK_FALSE(nothing.dtype());

  const OutputShape fixed = {16, 5, 5};
  CHECK(fixed.has_sizes());
  CHECK(fixed.sizes({3, 32, 32}) == Sizes{16, 5, 5});
  CHECK(OutputShape(Sizes{7}).sizes({}) == Sizes{7});
  CHECK(OutputShape({0}).sizes({}) == Sizes{0});
  CHECK(OutputShape(Sizes{}).has_sizes());

  const OutputShape function = [](c10::IntArrayRef in) {
    return Sizes{8, in[1] / 2};
  };
  CHECK(function.has_sizes());
  CHECK(function.sizes({3, 32}) == Sizes{8, 16});

  const OutputShape sibling = OutputShape::like_open_sibling();
  CHECK_FALSE(sibling.has_sizes());
  CHECK(sibling.is_like_open_sibling());

  CHECK(OutputShape().dtype(torch::kHalf).dtype() == torch::kHalf);
}

TEST_CASE("OutputShape: refuses negative sizes", "[output_shape][error]") {
  const std::string expected =
      "OutputShape: expected sizes of at least 0, without the batch dim, got "
      "[16, -1, 5]";
  CHECK(message_of<c10::ValueError>([] {
          OutputShape({16, -1, 5});
        }) == expected);
  CHECK(message_of<c10::ValueError>([] {
          OutputShape(Sizes{16, -1, 5});
        }) == expected);
  const OutputShape function = [](c10::IntArrayRef) {
    return Sizes{16, -1, 5};
  };
  CHECK(message_of<c10::ValueError>([&] { function.sizes({1}); }) == expected);
  CHECK(message_of<c10::ValueError>([] {
          OutputShape().sizes({1});
        }) == "OutputShape::sizes: expected declared sizes, got none");
  CHECK(message_of<c10::ValueError>([] {
          OutputShape::like_open_sibling().sizes({1});
        }) == "OutputShape::sizes: expected declared sizes, got none");
}

TEST_CASE(
    "OutputShape: a function is given the input's sizes without the batch",
    "[output_shape][forward]") {
  Sizes seen;
  const auto shape = [&seen](c10::IntArrayRef in) {
    seen = in.vec();
    return Sizes{3};
  };
  ConcatGate gate(
      ConcatGateOptions(1).output_shape(shape),
      {{"a", shape_linear()}, {"b", shape_linear()}});
  gate->set_open({0});
  const auto output = gate->forward(torch::randn({2, 4}));
  CHECK(seen == Sizes{4});
  CHECK(output.sizes() == torch::IntArrayRef({2, 6}));
  CHECK(all_zero(output.narrow(1, 3, 3)));
}

TEST_CASE(
    "OutputShape: a branch's own declaration overrides the gate's",
    "[output_shape][forward]") {
  ConcatGate gate(
      ConcatGateOptions(1).output_shape({3}),
      {{"a", shape_linear()},
       {"b", torch::nn::Linear(4, 5), {5}},
       {"c", shape_linear()}});
  gate->set_open({});
  CHECK(
      gate->forward(torch::randn({2, 4})).sizes() ==
      torch::IntArrayRef({2, 11}));
  gate->set_open({1});
  CHECK(
      gate->forward(torch::randn({2, 4})).sizes() ==
      torch::IntArrayRef({2, 11}));
}

TEST_CASE(
    "OutputShape: what a branch returns is held against its declaration",
    "[output_shape][error]") {
  const auto x = torch::randn({2, 4});
  ConcatGate sizes(
      ConcatGateOptions(1),
      {{"a", shape_linear(), {5}}, {"b", shape_linear()}});
  const std::string expected =
      "ConcatGate::forward: expected branch 0 ('a') to return its declared "
      "output_shape [2, 5], got [2, 3]";
  CHECK(message_of<c10::ValueError>([&] { sizes->forward(x); }) == expected);
  // Also after zeros of the declared shape have stood in for it.
  sizes->set_open({1});
  CHECK(sizes->forward(x).size(1) == 8);
  sizes->set_open({0});
  CHECK(message_of<c10::ValueError>([&] { sizes->forward(x); }) == expected);

  ConcatGate dtype(
      ConcatGateOptions(1).output_shape(OutputShape().dtype(torch::kDouble)),
      {{"a", shape_linear()}, {"b", shape_linear()}});
  CHECK(
      message_of<c10::ValueError>([&] { dtype->forward(x); }) ==
      "ConcatGate::forward: expected branch 0 ('a') to return its declared "
      "dtype Double, got Float");

  ConcatGate negative(
      ConcatGateOptions(1).output_shape(
          [](c10::IntArrayRef in) { return Sizes{in[0] - 5}; }),
      {{"a", shape_linear()}, {"b", shape_linear()}});
  negative->set_open({});
  CHECK(
      message_of<c10::ValueError>([&] { negative->forward(x); }) ==
      "OutputShape: expected sizes of at least 0, without the batch dim, got "
      "[-1]");
}
