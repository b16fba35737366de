// SPDX-License-Identifier: MIT
// Layers on slots in half and bfloat16: as exact as their dense layers.
#include <gatedpaths/slots/slot_conv.hpp>
#include <gatedpaths/slots/slot_linear.hpp>

#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "support/autocast.hpp"
#include "support/catch.hpp"
#include "support/sample_gates.hpp"
#include "support/slot_layers.hpp"
#include "support/tensors.hpp"

using gatedpaths::SlotConv1d;
using gatedpaths::SlotConv2d;
using gatedpaths::SlotLinear;
using gatedpaths::test::Autocast;
using gatedpaths::test::bit_equal;
using gatedpaths::test::cutting_gate;
using gatedpaths::test::largest_difference;
using gatedpaths::test::mask_of;

namespace {

constexpr int64_t kHalfSlots = 64;
constexpr int64_t kHalfSize = 4;
constexpr int64_t kHalfFeatures = kHalfSlots * kHalfSize;

std::vector<int64_t> half_sizes() {
  return std::vector<int64_t>(kHalfSlots, kHalfSize);
}

// What has a layer on slots against a dense one in double, and its own dense
// layer: outputs and gradients.
struct Results {
  std::vector<torch::Tensor> tensors;  // of the output, the input, the weights
  double error(const Results& exact, size_t i) const {
    return (tensors[i].to(torch::kDouble) - exact.tensors[i])
        .square()
        .mean()
        .sqrt()
        .item<double>();
  }
};

template <class Layer>
torch::Tensor joined_gradient(const Layer& layer) {
  std::vector<torch::Tensor> gradients;
  for (const auto& weight : layer->weights) {
    gradients.push_back(weight.grad());
  }
  return torch::cat(gradients, 1);
}

template <class Forward, class Gradient>
Results results_of(
    const torch::Tensor& input,
    torch::Dtype dtype,
    const Forward& forward,
    const Gradient& weight_gradient) {
  const auto x = input.detach().to(dtype, false, true).requires_grad_();
  const auto output = forward(x);
  output.backward(torch::linspace(-1, 1, output.numel())
                      .to(torch::kBFloat16)
                      .to(output.scalar_type())
                      .view(output.sizes()));
  return {{output.detach(), x.grad(), weight_gradient()}};
}

// Holds the slots' errors against those of the dense layer in the same dtype;
// `open` has the gates of each sample, or none.
template <class SlotLayer, class Dense>
void check_errors(
    Dense dense,
    const torch::Tensor& input,
    torch::Dtype dtype,
    const torch::Tensor& open) {
  // Numbers that are exact in the reduced dtype.
  dense->to(torch::kBFloat16);
  const auto x = input.to(torch::kBFloat16).to(torch::kDouble);
  dense->to(torch::kDouble);
  auto gate = cutting_gate(half_sizes());
  const auto of_dense = [&](torch::Dtype wanted) {
    dense->to(wanted);
    dense->zero_grad();
    return results_of(
        x,
        wanted,
        [&](const torch::Tensor& values) {
          return dense->forward(gate->forward(values, open));
        },
        [&] { return dense->weight.grad().clone(); });
  };
  const auto exact = of_dense(torch::kDouble);
  const auto expected = of_dense(dtype);
  auto layer = SlotLayer::from_dense(dense, half_sizes());
  const auto actual = results_of(
      x,
      dtype,
      [&](const torch::Tensor& values) {
        return layer->forward(gate->forward_slots(values, open));
      },
      [&] { return joined_gradient(layer); });
  for (size_t i = 0; i < 3; ++i) {
    CAPTURE(i, dtype);
    CHECK(actual.tensors[i].scalar_type() == dtype);
    CHECK(actual.error(exact, i) <= 1.1 * expected.error(exact, i));
  }
}

// Gates of each sample, each slot closed for some.
torch::Tensor random_gates(int64_t samples) {
  return torch::rand({samples, kHalfSlots}) < 0.7;
}

torch::Dtype any_reduced_dtype() {
  return GENERATE(torch::kHalf, torch::kBFloat16);
}

}  // namespace

TEST_CASE(
    "SlotLinear: a sum that fits is not infinite on its way",
    "[slot_linear][forward][backward]") {
  const auto dtype = torch::kHalf;
  torch::nn::Linear dense(
      torch::nn::LinearOptions(3, 1).bias(GENERATE(true, false)));
  {
    const torch::NoGradGuard no_grad;
    dense->weight.copy_(torch::tensor({{200.0, 200.0, -200.0}}));
    if (dense->bias.defined()) {
      dense->bias.zero_();
    }
  }
  dense->to(dtype);
  auto gate = cutting_gate({1, 1, 1}, /*dim=*/-1);
  auto layer = SlotLinear::from_dense(dense, {1, 1, 1});
  const auto x = torch::full({2, 3}, 200.0, dtype);
  REQUIRE(dense->forward(x)[0].item<double>() == 40000);
  const auto whole = layer->forward(gate->forward_slots(x));
  CHECK(bit_equal(whole, torch::full({2, 1}, 40000.0, dtype)));
  // One more dim, where the products are not added to what is there.
  const auto deep = layer->forward(gate->forward_slots(x.view({2, 1, 3})));
  CHECK(bit_equal(deep, torch::full({2, 1, 1}, 40000.0, dtype)));
  // One slot for some samples only, and each for some.
  for (const auto& rows :
       {std::vector<std::string>{"111", "110"},
        std::vector<std::string>{"111", "001"}}) {
    const auto partial = layer->forward(gate->forward_slots(x, mask_of(rows)));
    CHECK(partial.scalar_type() == dtype);
    CHECK(partial[0].item<double>() == 40000);
  }
}

TEST_CASE(
    "SlotLinear: errors in reduced dtypes are the dense layer's",
    "[slot_linear][forward][backward]") {
  const auto dtype = any_reduced_dtype();
  torch::manual_seed(1);
  const torch::nn::Linear dense(
      torch::nn::LinearOptions(kHalfFeatures, 32).bias(GENERATE(true, false)));
  check_errors<SlotLinear>(dense, torch::randn({24, kHalfFeatures}), dtype, {});
  check_errors<SlotLinear>(
      dense, torch::randn({24, kHalfFeatures}), dtype, random_gates(24));
}

TEST_CASE(
    "SlotConv: errors in reduced dtypes are the dense layer's",
    "[slot_conv][forward][backward]") {
  const auto dtype = any_reduced_dtype();
  torch::manual_seed(2);
  const torch::nn::Conv2d dense(
      torch::nn::Conv2dOptions(kHalfFeatures, 8, 3).padding(1));
  const auto x = torch::randn({6, kHalfFeatures, 4, 4});
  check_errors<SlotConv2d>(dense, x, dtype, {});
  check_errors<SlotConv2d>(dense, x, dtype, random_gates(6));
}

TEST_CASE(
    "SlotConv: large values are summed as the dense layer does",
    "[slot_conv][forward]") {
  // Above what is joined in float.
  const auto dtype = torch::kHalf;
  torch::nn::Conv1d dense(torch::nn::Conv1dOptions(3, 1, 1).bias(false));
  {
    const torch::NoGradGuard no_grad;
    dense->weight.copy_(torch::tensor({200.0, 200.0, -200.0}).view({1, 3, 1}));
  }
  dense->to(dtype);
  auto gate = cutting_gate({1, 1, 1});
  auto layer = SlotConv1d::from_dense(dense, {1, 1, 1});
  const auto x = torch::full({1, 3, (1 << 20) / 3 + 1}, 200.0, dtype);
  const auto output = layer->forward(gate->forward_slots(x));
  CHECK(output.min().item<double>() == 40000);
  CHECK(output.max().item<double>() == 40000);
}

TEST_CASE(
    "SlotLinear, SlotConv: errors under autocast are the dense layer's",
    "[slot_linear][slot_conv][forward]") {
  torch::manual_seed(3);
  const bool partial = GENERATE(false, true);
  const torch::nn::Linear linear(kHalfFeatures, 32);
  const torch::nn::Conv2d conv(torch::nn::Conv2dOptions(kHalfFeatures, 8, 3));
  auto gate = cutting_gate(half_sizes());
  const auto x = torch::randn({16, kHalfFeatures});
  const auto image = torch::randn({5, kHalfFeatures, 4, 4});
  const auto check = [&](auto layer, auto dense, const torch::Tensor& input) {
    const auto open = partial ? random_gates(input.size(0)) : torch::Tensor();
    const auto exact = dense->forward(gate->forward(input, open));
    const Autocast autocast;
    const auto expected = dense->forward(gate->forward(input, open));
    const auto actual = layer->forward(gate->forward_slots(input, open));
    CHECK(actual.scalar_type() == torch::kBFloat16);
    const auto error = [&](const torch::Tensor& output) {
      return (output.to(torch::kFloat) - exact)
          .square()
          .mean()
          .template item<double>();
    };
    CHECK(error(actual) <= 1.2 * error(expected));
    actual.sum().backward();
    CHECK(layer->weights[0].grad().scalar_type() == torch::kFloat);
  };
  check(SlotLinear::from_dense(linear, half_sizes()), linear, x);
  check(SlotConv2d::from_dense(conv, half_sizes()), conv, image);
}

TEST_CASE(
    "SlotLinear: in reduced dtypes closed weights have no gradient, or coast",
    "[slot_linear][backward]") {
  const auto dtype = any_reduced_dtype();
  torch::manual_seed(4);
  const bool coast = GENERATE(false, true);
  SlotLinear layer(gatedpaths::SlotLinearOptions({2, 2, 2}, 3).coast(coast));
  layer->to(dtype);
  auto gate = cutting_gate({2, 2, 2});
  gate->set_open({0, 2});
  const auto x = torch::randn({4, 6}).to(dtype);
  layer->forward(gate->forward_slots(x)).sum().backward();
  CHECK(layer->weights[0].grad().defined());
  CHECK(layer->weights[1].grad().defined() == coast);
  CHECK(layer->weights[2].grad().is_contiguous());
}
