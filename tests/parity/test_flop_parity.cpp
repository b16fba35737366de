// SPDX-License-Identifier: MIT
// What is counted, against torch.utils.flop_counter.
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/search/cost_model.hpp>
#include <gatedpaths/search/operation_counter.hpp>

#include <map>
#include <string>

#include "parity/reference.hpp"
#include "support/catch.hpp"

namespace nn = torch::nn;

using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::CostModel;
using gatedpaths::OperationCounter;
using gatedpaths::PathSpace;
using gatedpaths::test::reference;

namespace {

int64_t reference_flops(const std::string& name) {
  return reference().at("flops/" + name).item<int64_t>();
}

template <class Run>
int64_t counted_flops(Run run) {
  OperationCounter counter;
  run();
  CHECK(counter.unknown() == std::map<std::string, int64_t>{});
  return counter.flops();
}

nn::Sequential seed_path() {
  return nn::Sequential(
      nn::Conv2d(nn::Conv2dOptions(3, 6, 5)),
      nn::ReLU(),
      nn::MaxPool2d(nn::MaxPool2dOptions(2)),
      nn::Conv2d(nn::Conv2dOptions(6, 16, 5)),
      nn::ReLU(),
      nn::MaxPool2d(nn::MaxPool2dOptions(2)));
}

nn::Sequential seed_net() {
  return nn::Sequential(
      ConcatGate<>(
          ConcatGateOptions(/*dim=*/1).min_open(1).max_open(1),
          {{"a", seed_path()}, {"b", seed_path()}}),
      nn::Flatten(),
      nn::Linear(800, 120),
      nn::ReLU(),
      nn::Linear(120, 84),
      nn::ReLU(),
      nn::Linear(84, 10));
}

struct ResidualBlockImpl : nn::Module {
  ResidualBlockImpl()
      : main(register_module(
            "main",
            nn::Sequential(
                nn::Conv2d(
                    nn::Conv2dOptions(8, 16, 3).stride(2).padding(1).bias(
                        false)),
                nn::BatchNorm2d(16),
                nn::ReLU(),
                nn::Conv2d(nn::Conv2dOptions(16, 16, 3).padding(1).bias(false)),
                nn::BatchNorm2d(16)))),
        shortcut(register_module(
            "short",
            nn::Conv2d(nn::Conv2dOptions(8, 16, 1).stride(2).bias(false)))) {}
  torch::Tensor forward(const torch::Tensor& x) {
    return (main->forward(x) + shortcut->forward(x)).relu();
  }
  nn::Sequential main;
  nn::Conv2d shortcut;
};
TORCH_MODULE(ResidualBlock);

nn::Sequential depthwise_net() {
  return nn::Sequential(
      nn::Conv2d(nn::Conv2dOptions(8, 16, 3).groups(8).padding(1)),
      nn::Conv2d(nn::Conv2dOptions(16, 12, 1).groups(4)),
      nn::ReLU(),
      nn::ConvTranspose2d(
          nn::ConvTranspose2dOptions(12, 6, 3).stride(2).groups(2)));
}

template <class Net>
int64_t flops_of_step(Net& net, const torch::Tensor& input) {
  const auto x = input.clone().requires_grad_();
  return counted_flops([&] { net->forward(x).sum().backward(); });
}

}  // namespace

TEST_CASE("Parity: the example net has PyTorch's FLOPs", "[parity][search]") {
  const auto expected = reference_flops("seed");
  auto net = seed_net();
  const PathSpace space(net);
  const auto cost = CostModel::measure(net, space, torch::ones({4, 3, 32, 32}));
  CHECK(cost.of(space.at(0)).flops == expected);
  CHECK(cost.of(space.at(1)).flops == expected);
}

TEST_CASE("Parity: a residual block has PyTorch's FLOPs", "[parity][search]") {
  const auto expected = reference_flops("residual");
  const auto expected_of_step = reference_flops("residual/step");
  ResidualBlock net;
  const auto x = torch::ones({3, 8, 12, 12});
  CHECK(counted_flops([&] { net->forward(x); }) == expected);
  CHECK(flops_of_step(net, x) == expected_of_step);
}

TEST_CASE(
    "Parity: grouped convolutions have PyTorch's FLOPs", "[parity][search]") {
  const auto expected = reference_flops("depthwise");
  auto net = depthwise_net();
  const auto x = torch::ones({2, 8, 9, 9});
  CHECK(counted_flops([&] { net->forward(x); }) == expected);
}

TEST_CASE("Parity: an LSTM has PyTorch's FLOPs", "[parity][search]") {
  const auto expected = reference_flops("lstm");
  nn::LSTM lstm(nn::LSTMOptions(8, 16).num_layers(2).bidirectional(true));
  const auto x = torch::ones({5, 3, 8});
  CHECK(counted_flops([&] { lstm->forward(x); }) == expected);
}

TEST_CASE("Parity: attention has PyTorch's FLOPs", "[parity][search]") {
  const auto expected = reference_flops("attention");
  nn::Linear qkv(24, 72);
  nn::Linear out(24, 24);
  const auto x = torch::ones({2, 7, 24});
  const auto attend = [&] {
    const auto parts =
        qkv->forward(x).view({2, 7, 3, 4, 6}).permute({2, 0, 3, 1, 4}).unbind();
    const auto heads =
        at::scaled_dot_product_attention(parts[0], parts[1], parts[2]);
    out->forward(heads.transpose(1, 2).reshape({2, 7, 24}));
  };
  CHECK(counted_flops(attend) == expected);
}
