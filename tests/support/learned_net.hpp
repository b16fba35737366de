// SPDX-License-Identifier: MIT
// A network small enough to try every path of.
#pragma once

#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/learning/path_logits.hpp>
#include <gatedpaths/paths/path_space.hpp>

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>

#include <cstdint>
#include <functional>

namespace gatedpaths::test {

/// Two blocks of three linear maps in double, one after the other, and a loss.
struct LearnedNet : torch::nn::Module {
  LearnedNet() {
    torch::manual_seed(11);
    first = register_module("first", block());
    second = register_module("second", block());
    to(torch::kDouble);
    input = torch::randn({4, 2}, torch::kDouble);
    target = torch::randn({4, 2}, torch::kDouble);
  }

  torch::Tensor forward(const torch::Tensor& x) {
    return second->forward(first->forward(x).tanh());
  }

  /// (output - target)^2.
  torch::Tensor square_loss() {
    return (forward(input) - target).square().mean();
  }

  static ChoiceBlock<torch::nn::Linear> block() {
    using torch::nn::Linear;
    return ChoiceBlock(Linear(2, 2), Linear(2, 2), Linear(2, 2));
  }

  ChoiceBlock<torch::nn::Linear> first = nullptr;
  ChoiceBlock<torch::nn::Linear> second = nullptr;
  torch::Tensor input;
  torch::Tensor target;
};

/// Logits in double that differ from each other.
inline PathLogits uneven_logits(const PathSpace& space) {
  PathLogits logits(space);
  logits->to(torch::kDouble);
  const torch::NoGradGuard no_grad;
  double value = 0.2;
  for (auto& parameter : logits->parameters()) {
    for (int64_t i = 0; i < parameter.numel(); ++i) {
      parameter[i] = value;
      value = value > 0 ? value - 0.7 : value + 0.9;
    }
  }
  return logits;
}

/// The gradient of the expected loss of a path with respect to all logits, by
/// running every path.
inline torch::Tensor exact_gradient(
    const PathLogits& logits,
    const PathSpace& space,
    const std::function<torch::Tensor()>& loss) {
  torch::Tensor sum = torch::zeros({}, torch::kDouble);
  for (uint64_t i = 0; i < space.size(); ++i) {
    const Path path = space.at(i);
    space.apply(path);
    sum = sum + logits->log_probability(path).exp() * loss().detach();
  }
  return torch::cat(torch::autograd::grad({sum}, logits->parameters()));
}

}  // namespace gatedpaths::test
