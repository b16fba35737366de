// SPDX-License-Identifier: MIT
// What a forward or a training step may have changed.
#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstddef>
#include <unordered_set>
#include <vector>

#include "support/tensors.hpp"

namespace gatedpaths::test {

using Tensors = std::vector<torch::Tensor>;

/// Copies that later changes do not reach; undefined ones stay undefined.
inline Tensors copies_of(const Tensors& tensors) {
  Tensors copies;
  for (const auto& tensor : tensors) {
    copies.push_back(
        tensor.defined() ? tensor.detach().clone() : torch::Tensor());
  }
  return copies;
}

inline bool all_bit_equal(const Tensors& a, const Tensors& b) {
  bool equal = a.size() == b.size();
  for (size_t i = 0; equal && i < a.size(); ++i) {
    equal = bit_equal(a[i], b[i]);
  }
  return equal;
}

/// The gradients of a module's parameters, undefined ones included.
inline Tensors gradients_of(const torch::nn::Module& module) {
  Tensors gradients;
  for (const auto& parameter : module.parameters()) {
    gradients.push_back(parameter.grad());
  }
  return gradients;
}

inline bool none_defined(const Tensors& tensors) {
  for (const auto& tensor : tensors) {
    if (tensor.defined()) {
      return false;
    }
  }
  return true;
}

inline bool all_defined(const Tensors& tensors) {
  for (const auto& tensor : tensors) {
    if (!tensor.defined()) {
      return false;
    }
  }
  return true;
}

/// The whole state of the global random stream of the CPU.
inline torch::Tensor random_stream() {
  return at::detail::getDefaultCPUGenerator().get_state();
}

/// Whether the graph behind `tensor` leads to `leaf`.
inline bool reaches(const torch::Tensor& tensor, const torch::Tensor& leaf) {
  using torch::autograd::Node;
  std::vector<Node*> todo = {tensor.grad_fn().get()};
  std::unordered_set<Node*> seen = {nullptr};
  while (!todo.empty()) {
    Node* node = todo.back();
    todo.pop_back();
    if (!seen.insert(node).second) {
      continue;
    }
    const auto* end = dynamic_cast<torch::autograd::AccumulateGrad*>(node);
    if (end != nullptr && end->variable.is_same(leaf)) {
      return true;
    }
    for (const auto& edge : node->next_edges()) {
      todo.push_back(edge.function.get());
    }
  }
  return false;
}

/// Whether the graph behind `tensor` leads to any parameter of `module`.
inline bool reaches(
    const torch::Tensor& tensor, const torch::nn::Module& module) {
  for (const auto& parameter : module.parameters()) {
    if (reaches(tensor, parameter)) {
      return true;
    }
  }
  return false;
}

}  // namespace gatedpaths::test
