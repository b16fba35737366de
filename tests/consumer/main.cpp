// SPDX-License-Identifier: MIT
// A program of somebody else's that uses the package, with a module of its own:
// what is made of it here and what the library knows of it have to be the same
// type, also where the library is a shared one that hides its symbols.
#include <gatedpaths/gatedpaths.hpp>

#include <torch/nn/cloneable.h>
#include <torch/nn/modules/conv.h>

#include <cstdlib>
#include <iostream>

namespace {

struct BlockImpl : torch::nn::Cloneable<BlockImpl> {
  BlockImpl() { reset(); }
  void reset() override {
    conv = register_module(
        "conv",
        torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 4, /*kernel_size=*/3)));
  }
  torch::Tensor forward(const torch::Tensor& input) {
    return conv->forward(input);
  }
  torch::nn::Conv2d conv = nullptr;
};
TORCH_MODULE(Block);

void expect(bool condition, const char* what) {
  if (!condition) {
    std::cerr << "expected " << what << '\n';
    std::exit(1);
  }
}

}  // namespace

int main() {
  gatedpaths::ConcatGate gate(
      gatedpaths::ConcatGateOptions(/*dim=*/1),
      {{"a", Block()}, {"b", Block()}});
  gate->set_open({0});
  const auto features = gate->forward(torch::ones({2, 3, 8, 8}));
  std::cout << "gatedpaths " << gatedpaths::version() << ": "
            << features.sizes() << ", closed: "
            << features.narrow(1, 4, 4).abs().sum().item<float>() << '\n';
  expect(features.size(1) == 8, "both branches' channels");
  expect(
      features.narrow(1, 0, 4).any().item<bool>(), "the open branch's values");
  expect(
      !features.narrow(1, 4, 4).any().item<bool>(), "zeros of the closed one");

  const gatedpaths::GatedBranch branch{Block()};
  torch::nn::Module net;
  net.register_module("gate", gate);
  net.register_module("branch", branch);
  const gatedpaths::PathSpace space(net);
  expect(space.num_gates() == 2, "the two gates in the space");
  expect(
      std::dynamic_pointer_cast<decltype(branch)::ContainedType>(
          branch->clone()) != nullptr,
      "a copy of the branch's own type");
  try {
    gate->set_open({2});
    expect(false, "an error for the branch that is not there");
  } catch (const c10::Error&) {
  }
  return 0;
}
