// SPDX-License-Identifier: MIT
// Two parallel paths, one of them open in each step: the closed one does not
// run, gets no gradient, and keeps its place in the concatenation.
//
// Run: examples/run 01_concat_gate
#include <gatedpaths/gatedpaths.hpp>

#include <torch/nn/modules/conv.h>

#include <fmt/format.h>

namespace {

const char* gradient_of(
    const gatedpaths::ConcatGate<>& gate, const char* name) {
  return gate->branch(name).get<torch::nn::Conv2dImpl>().weight.grad().defined()
             ? "defined"
             : "undefined";
}

int64_t channels_without_zeros(const torch::Tensor& features) {
  return features.ne(0).any(-1).any(-1).any(0).sum().item<int64_t>();
}

void report(
    const gatedpaths::PathSpace& space,
    const gatedpaths::ConcatGate<>& gate,
    const torch::Tensor& features) {
  fmt::print(
      "{}: {} of {} channels hold values; gradient of a {}, of b {}\n",
      space.to_string(space.current()),
      channels_without_zeros(features),
      features.size(1),
      gradient_of(gate, "a"),
      gradient_of(gate, "b"));
}

}  // namespace

int main() {
  torch::manual_seed(0);
  //! [gate]
  namespace gp = gatedpaths;
  gp::ConcatGate paths(
      gp::ConcatGateOptions(/*dim=*/1).min_open(1).max_open(1),
      {{"a", torch::nn::Conv2d(3, 16, 5)}, {"b", torch::nn::Conv2d(3, 16, 5)}});
  gp::PathSpace space(paths);
  gp::UniformSampler sampler(space, /*seed=*/7);
  for (int step = 0; step < 3; ++step) {
    space.apply(sampler.next());  // one path, drawn for this step
    auto features = paths->forward(torch::randn({8, 3, 32, 32}));
    paths->zero_grad();
    features.square().mean().backward();  // features: [8, 32, 28, 28]
    report(space, paths, features);
  }
  //! [gate]
}
