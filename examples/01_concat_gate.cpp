// SPDX-License-Identifier: MIT
// Two parallel paths, one of them open in each step: the closed one does not
// run, gets no gradient, and keeps its place in the concatenation.
//
// Run: examples/run 01_concat_gate
#include <gatedpaths/gatedpaths.hpp>

#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>

#include <fmt/format.h>

int main() {
  torch::manual_seed(0);
  const auto images = torch::randn({8, 3, 32, 32});
  //! [gate]
  namespace gp = gatedpaths;
  torch::nn::Conv2d a(3, 16, 5), b(3, 16, 5);
  gp::ConcatGate gate(
      gp::ConcatGateOptions(/*dim=*/1).min_open(1).max_open(1),
      {{"a", a}, {"b", b}});
  torch::nn::Sequential net({{"paths", gate}});
  gp::PathSpace space(net);
  gp::UniformSampler sampler(space, /*seed=*/7);
  for (int step = 0; step < 3; ++step) {
    space.apply(sampler.next());  // one of the two paths, drawn for this step
    net->zero_grad();
    net->forward(images).square().mean().backward();  // [8, 32, 28, 28]
    fmt::print(
        "{}: gradient of a: {}, of b: {}\n",
        space.to_string(space.current()),
        a->weight.grad().defined(),
        b->weight.grad().defined());
  }
  //! [gate]
}
