// SPDX-License-Identifier: MIT
// A program of somebody else's that uses the package.
#include <gatedpaths/gatedpaths.hpp>

#include <torch/nn/modules/conv.h>

#include <iostream>

int main() {
  const torch::nn::Conv2dOptions options(3, 4, /*kernel_size=*/3);
  gatedpaths::ConcatGate gate(
      gatedpaths::ConcatGateOptions(/*dim=*/1),
      {{"a", torch::nn::Conv2d(options)}, {"b", torch::nn::Conv2d(options)}});
  gate->set_open({0});
  const auto features = gate->forward(torch::ones({2, 3, 8, 8}));
  std::cout << "gatedpaths " << gatedpaths::version() << ": "
            << features.sizes() << ", closed: "
            << features.narrow(1, 4, 4).abs().sum().item<float>() << '\n';
  const bool as_promised = features.size(1) == 8 &&
                           features.narrow(1, 0, 4).any().item<bool>() &&
                           !features.narrow(1, 4, 4).any().item<bool>();
  return as_promised ? 0 : 1;
}
