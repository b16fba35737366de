// SPDX-License-Identifier: MIT
#pragma once

#include "differential/tree.hpp"

#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

namespace gatedpaths::differential {

/// A network without gates, as a node of `NodeKind::kLeaf` says.
class LeafImpl : public torch::nn::Module {
 public:
  LeafImpl(const Node& node, Form form);

  torch::Tensor forward(const torch::Tensor& input);

 private:
  torch::Tensor mix(const torch::Tensor& input);
  torch::Tensor expand(const torch::Tensor& one, const torch::Tensor& input);

  LeafKind kind_;
  Form form_;
  int64_t out_;
  int64_t dim_;
  torch::nn::Linear linear_ = nullptr;
  torch::nn::Conv2d conv_ = nullptr;
  torch::nn::BatchNorm2d batch_norm_ = nullptr;
  torch::nn::LayerNorm layer_norm_ = nullptr;
  torch::nn::Dropout dropout_ = nullptr;
  torch::Tensor constant_;
};
TORCH_MODULE(Leaf);

}  // namespace gatedpaths::differential
