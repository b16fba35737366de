// SPDX-License-Identifier: MIT
#include "src/gates/straight_through.hpp"

#include <torch/csrc/autograd/autograd.h>

#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/finite_difference.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::detail::straight_through;
using gatedpaths::test::bit_equal;
using gatedpaths::test::largest_difference;

namespace {

torch::Tensor straight_leaf(
    torch::IntArrayRef sizes, torch::Dtype dtype = torch::kDouble) {
  return torch::randn(sizes, dtype).set_requires_grad(true);
}

}  // namespace

TEST_CASE(
    "straight_through: gives the active output, bit for bit",
    "[straight_through][forward]") {
  torch::manual_seed(1);
  const auto weights = straight_leaf({1}, torch::kFloat);
  const auto active = torch::tensor(
      {0.1F, -0.0F, std::numeric_limits<float>::infinity(), 1e-42F});
  const auto output = straight_through(weights, active);
  CHECK(bit_equal(output, active));
  CHECK(output.data_ptr() != active.data_ptr());
  CHECK(output.requires_grad());
}

TEST_CASE(
    "straight_through: gradients are those of the weighted sum",
    "[straight_through][backward]") {
  torch::manual_seed(2);
  const auto weights = straight_leaf({2});
  const auto active = straight_leaf({3, 4});
  const auto other = torch::randn({3, 4}, torch::kDouble);
  const auto g = torch::randn({3, 4}, torch::kDouble);

  straight_through(weights, active, other).backward(g);
  CHECK(bit_equal(active.grad(), g));
  CHECK(
      largest_difference(
          weights.grad(),
          torch::stack({(g * active).sum(), (g * other).sum()})) < 1e-12);
}

TEST_CASE(
    "straight_through: gradients do not depend on the memory format",
    "[straight_through][backward]") {
  torch::manual_seed(4);
  const auto weights = straight_leaf({1});
  const auto dense = torch::randn({2, 3, 4, 5}, torch::kDouble);
  const auto g = torch::randn({2, 3, 4, 5}, torch::kDouble);
  const auto channels_last = [](const torch::Tensor& tensor) {
    return tensor.contiguous(torch::MemoryFormat::ChannelsLast);
  };
  const auto gradient = [&](const torch::Tensor& active,
                            const torch::Tensor& of_output) {
    return torch::autograd::grad(
        {straight_through(weights, active)}, {weights}, {of_output})[0];
  };
  const auto expected = (g * dense).sum().reshape({1});
  const auto strided = torch::stack({dense, dense}, 4).select(4, 0);
  CHECK(largest_difference(gradient(dense, g), expected) < 1e-12);
  CHECK(
      largest_difference(
          gradient(channels_last(dense), channels_last(g)), expected) < 1e-12);
  CHECK(
      largest_difference(gradient(channels_last(dense), g), expected) < 1e-12);
  CHECK(largest_difference(gradient(strided, g), expected) < 1e-12);
  CHECK(
      largest_difference(
          gradient(dense, torch::ones({}, torch::kDouble).expand_as(dense)),
          dense.sum().reshape({1})) < 1e-12);
}

TEST_CASE(
    "straight_through: one number may stand for a whole output and gradient",
    "[straight_through][backward]") {
  const auto weights = straight_leaf({1});
  // Followed by other numbers, as in most memory.
  const auto numbers = torch::arange(2, 18, torch::kDouble);
  const auto active = numbers.narrow(0, 0, 1).expand({4});
  const auto g = numbers.narrow(0, 1, 1).expand({4});
  REQUIRE(active.strides() == g.strides());
  straight_through(weights, active).backward(g);
  CHECK(weights.grad().item<double>() == 4 * 2 * 3);
}

TEST_CASE(
    "straight_through: reduced dtypes are summed in float",
    "[straight_through][backward]") {
  const auto dtype = GENERATE(torch::kBFloat16, torch::kHalf);
  CAPTURE(dtype);
  const auto weights = torch::ones({1}).set_requires_grad(true);
  const auto active = torch::ones({4097}, dtype);
  straight_through(weights, active).backward(torch::ones({4097}, dtype));
  CHECK(weights.grad().scalar_type() == torch::kFloat);
  CHECK(weights.grad().item<float>() == 4097);  // 4096 in either
}

TEST_CASE(
    "straight_through: gives gradients only where they are wanted",
    "[straight_through][backward]") {
  torch::manual_seed(3);
  SECTION("not to weights") {
    const auto weights = torch::randn({1}, torch::kDouble);
    const auto active = straight_leaf({3});
    straight_through(weights, active).sum().backward();
    CHECK(bit_equal(active.grad(), torch::ones({3}, torch::kDouble)));
    CHECK_FALSE(weights.grad().defined());
  }
  SECTION("not to an output of no parameter") {
    const auto weights = straight_leaf({1});
    const auto active = torch::randn({3}, torch::kDouble);
    straight_through(weights, active).sum().backward();
    CHECK(
        largest_difference(weights.grad(), active.sum().reshape({1})) < 1e-12);
    CHECK_FALSE(active.grad().defined());
  }
}

TEST_CASE(
    "straight_through: an output may be changed in place",
    "[straight_through][backward]") {
  torch::manual_seed(5);
  const auto weights = straight_leaf({1});
  const auto input = straight_leaf({3});
  const auto active = input.sigmoid();  // which keeps its result
  auto output = straight_through(weights, active);
  output.mul_(2);
  output.sum().backward();
  CHECK(
      largest_difference(weights.grad(), 2 * active.sum().reshape({1})) <
      1e-12);
  CHECK(largest_difference(input.grad(), 2 * active * (1 - active)) < 1e-12);
}

TEST_CASE(
    "straight_through: is differentiable any number of times",
    "[straight_through][second_order]") {
  torch::manual_seed(6);
  const bool channels_last = GENERATE(false, true);
  const auto weights = straight_leaf({1});
  const auto leaf = straight_leaf({2, 3, 2, 2});
  const auto active =
      channels_last ? leaf.contiguous(torch::MemoryFormat::ChannelsLast) : leaf;
  const auto derivatives = [&](const torch::Tensor& output) {
    std::vector<torch::Tensor> all;
    auto value = output.sin().sum();
    for (int order = 0; order < 3; ++order) {
      const auto gradients =
          torch::autograd::grad({value}, {weights, leaf}, {}, true, true);
      value = gradients[0].square().sum() + gradients[1].pow(3).sum();
      all.insert(all.end(), gradients.begin(), gradients.end());
    }
    return all;
  };
  const auto own = derivatives(straight_through(weights, active));
  const auto by_hand = derivatives((weights + (1 - weights).detach()) * active);
  for (size_t i = 0; i < own.size(); ++i) {
    CAPTURE(i);
    CHECK(largest_difference(own[i], by_hand[i]) < 1e-9);
  }
  const auto value = [&] {
    const torch::AutoGradMode with_grad(true);
    const auto output = straight_through(weights, leaf);
    return torch::autograd::grad(
               {output.sin().sum()}, {weights}, {}, true, true)[0]
        .sum();
  };
  leaf.mutable_grad() = torch::autograd::grad({value()}, {leaf})[0];
  CHECK(gatedpaths::test::gradient_error(value, leaf) < 1e-8);
}

TEST_CASE(
    "straight_through: an empty batch teaches nothing",
    "[straight_through][backward]") {
  const auto weights = straight_leaf({2}, torch::kFloat);
  const auto active = straight_leaf({0, 3}, torch::kFloat);
  straight_through(weights, active, torch::zeros({0, 3})).sum().backward();
  CHECK(bit_equal(weights.grad(), torch::zeros({2})));
  CHECK(active.grad().sizes() == torch::IntArrayRef({0, 3}));
}
