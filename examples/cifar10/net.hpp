// SPDX-License-Identifier: MIT
// The gated CIFAR-10 net: N like paths of convolutions, of which one is open,
// behind them three linear layers that see every path in its own slot. The
// weights are the same in both forms, and so is what they compute.
#pragma once

#include "form.hpp"

#include <gatedpaths/gatedpaths.hpp>

#include <torch/nn/cloneable.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <optional>
#include <string>

namespace cifar10 {

struct NetOptions {
  std::int64_t paths = 2;
  std::int64_t width = 1;
  gatedpaths::Skip skip = gatedpaths::Skip::kZeroFill;
  Form form = Form::kSlots;
  // Its number: the net of this path alone, without anything of the others.
  std::optional<std::int64_t> only = {};
};

class NetImpl : public torch::nn::Module {
 public:
  explicit NetImpl(const NetOptions& options = {});

  /// Takes images [N, 3, 32, 32], gives the logits of the classes [N, 10].
  torch::Tensor forward(const torch::Tensor& images);

 private:
  gatedpaths::ConcatGate<> paths_;
  gatedpaths::SlotLinear slot_fc1_{nullptr};  // one of these two is "fc1"
  torch::nn::Linear fc1_{nullptr};
  torch::nn::Linear fc2_{nullptr};
  torch::nn::Linear fc3_{nullptr};
};

TORCH_MODULE(Net);

/// "a" ... "z", "aa", "ab", ...
std::string path_name(std::int64_t index);

}  // namespace cifar10
