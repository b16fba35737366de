// SPDX-License-Identifier: MIT
// Layers on slots beside the dense layers that they stand for.
#pragma once

#include <gatedpaths/branches/named_branch.hpp>
#include <gatedpaths/gates/concat_gate.hpp>

#include <torch/types.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/counting_child.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

namespace gatedpaths::test {

/// Slots that are all of another size.
inline const std::vector<int64_t> kSlotSizes = {2, 1, 4, 3};
inline constexpr int64_t kAllSlots = 10;

/// All subsets of `branches` branches, the empty one first.
inline std::vector<std::vector<int64_t>> open_sets(int64_t branches) {
  std::vector<std::vector<int64_t>> sets(size_t{1} << branches);
  for (size_t set = 0; set < sets.size(); ++set) {
    for (int64_t branch = 0; branch < branches; ++branch) {
      if ((set >> branch & 1) != 0) {
        sets[set].push_back(branch);
      }
    }
  }
  return sets;
}

/// A gate whose branch i returns the i-th part of its input along `dim`: with
/// all open, the concatenation is the input.
inline ConcatGate<> cutting_gate(
    const std::vector<int64_t>& sizes, int64_t dim = 1) {
  std::vector<NamedBranch<>> branches;
  int64_t first = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const int64_t size = sizes[i];
    branches.emplace_back(
        std::to_string(i),
        FunctionChild([dim, first, size](const torch::Tensor& input) {
          return input.narrow(dim, first, size);
        }));
    first += size;
  }
  return {ConcatGateOptions(dim), branches};
}

/// The `i`-th part along `dim` of what was concatenated.
inline torch::Tensor part_of(
    const torch::Tensor& whole,
    const std::vector<int64_t>& sizes,
    size_t i,
    int64_t dim) {
  const int64_t first = std::accumulate(
      sizes.begin(), sizes.begin() + static_cast<int64_t>(i), int64_t{0});
  return whole.defined() ? whole.narrow(dim, first, sizes[i]) : whole;
}

/// How far a layer on slots may be from its dense layer, for numbers of the
/// order of 1. A bfloat16 has 8 bits; both round the sum once.
inline double tolerance_of(torch::ScalarType dtype) {
  switch (dtype) {
    case torch::kDouble:
      return 1e-12;
    case torch::kBFloat16:
      return 1.0 / 128;
    default:
      return 1e-6;
  }
}

/// The largest difference, for numbers of the order of 1 or what `expected`
/// has. Both undefined is no difference.
inline double scaled_difference(
    const torch::Tensor& actual, const torch::Tensor& expected) {
  if (!actual.defined() && !expected.defined()) {
    return 0;
  }
  const double scale =
      expected.defined() && expected.numel() > 0
          ? expected.detach().to(torch::kDouble).abs().max().item<double>()
          : 0;
  return largest_difference(actual, expected) / std::max(1.0, scale);
}

/// A gradient of the order of 1 for `output`.
inline torch::Tensor upstream_of(const torch::Tensor& output) {
  return torch::linspace(
             -1, 1, output.numel(), output.options().requires_grad(false))
      .view(output.sizes());
}

/// Holds a layer with one weight a slot and one bias against its dense layer on
/// `input`, for all open sets, forward and backward.
template <class Layer, class Dense>
void check_against_dense(
    Layer layer,
    Dense dense,
    const std::vector<int64_t>& sizes,
    const torch::Tensor& input,
    int64_t dim) {
  auto gate = cutting_gate(sizes, dim);
  const double tolerance = tolerance_of(input.scalar_type());
  for (const auto& open : open_sets(static_cast<int64_t>(sizes.size()))) {
    CAPTURE(open);
    gate->set_open(open);
    layer->zero_grad();
    dense->zero_grad();
    const auto of_slots = input.detach().clone().requires_grad_();
    const auto of_dense = input.detach().clone().requires_grad_();
    const auto actual = layer->forward(gate->forward_slots(of_slots));
    const auto expected = dense->forward(gate->forward_slots(of_dense).dense());
    REQUIRE(actual.sizes() == expected.sizes());
    REQUIRE(actual.scalar_type() == expected.scalar_type());
    CHECK(scaled_difference(actual, expected) <= tolerance);
    if (!actual.requires_grad()) {
      CHECK(open.empty());
      CHECK_FALSE(layer->bias.defined());
      continue;
    }
    actual.backward(upstream_of(actual));
    expected.backward(upstream_of(expected));
    CHECK(scaled_difference(of_slots.grad(), of_dense.grad()) <= tolerance);
    for (size_t i = 0; i < sizes.size(); ++i) {
      CAPTURE(i);
      const auto& gradient = layer->weights[i].grad();
      if (std::find(open.begin(), open.end(), static_cast<int64_t>(i)) ==
          open.end()) {
        CHECK_FALSE(gradient.defined());
      } else {
        const auto wanted = part_of(dense->weight.grad(), sizes, i, 1);
        CHECK(scaled_difference(gradient, wanted) <= tolerance);
      }
    }
    if (layer->bias.defined()) {
      CHECK(
          scaled_difference(layer->bias.grad(), dense->bias.grad()) <=
          tolerance);
    }
  }
}

}  // namespace gatedpaths::test
