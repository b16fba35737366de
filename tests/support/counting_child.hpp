// SPDX-License-Identifier: MIT
// Children that write down how they are called.
#pragma once

#include <c10/core/GradMode.h>
#include <c10/core/Storage.h>
#include <c10/util/Exception.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace gatedpaths::test {

/// One call of a child's forward.
struct Call {
  int64_t samples;
  bool grad_mode;
  bool training;
};

/// All calls of a child's forward.
class CallLog {
 public:
  void add(const torch::Tensor& input, bool training) {
    calls_.push_back(
        {input.dim() == 0 ? -1 : input.size(0),
         c10::GradMode::is_enabled(),
         training});
  }

  /// How many calls were with this many samples.
  int64_t with(int64_t samples) const {
    return std::count_if(calls_.begin(), calls_.end(), [&](const Call& call) {
      return call.samples == samples;
    });
  }
  int64_t size() const { return static_cast<int64_t>(calls_.size()); }
  const Call& last() const { return calls_.back(); }
  void clear() { calls_.clear(); }

 private:
  std::vector<Call> calls_;
};

/// A child with all that a closed branch must leave alone: parameters, buffers
/// that each training forward changes, a dropout, and random numbers of its own
/// in either mode. `[N, 3, H, W]` -> `[N, 4, H, W]`.
class CountingChildImpl : public torch::nn::Cloneable<CountingChildImpl> {
 public:
  CountingChildImpl() { reset(); }

  void reset() override {
    conv = register_module(
        "conv",
        torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 4, 3).padding(1)));
    norm = register_module("norm", torch::nn::BatchNorm2d(4));
    drop = register_module("drop", torch::nn::Dropout(0.5));
    log.clear();
  }

  torch::Tensor forward(const torch::Tensor& input) {
    log.add(input, is_training());
    auto output = norm->forward(conv->forward(input));
    output = torch::tanh(output + 0.1 * torch::randn_like(output));
    activation_ = output.storage().getWeakStorageImpl();
    TORCH_CHECK(!throws, "CountingChild: told to throw");
    return drop->forward(output);
  }

  /// Whether what the last forward computed on its way is still in memory.
  bool keeps_activation() const { return !activation_.expired(); }

  torch::nn::Conv2d conv = nullptr;
  torch::nn::BatchNorm2d norm = nullptr;
  torch::nn::Dropout drop = nullptr;
  CallLog log;
  bool throws = false;  ///< In the middle of its forward.

 private:
  c10::weak_intrusive_ptr<c10::StorageImpl> activation_{
      c10::intrusive_ptr<c10::StorageImpl>()};
};
TORCH_MODULE(CountingChild);

/// A child without parameters that computes `function` of its input.
class FunctionChildImpl : public torch::nn::Module {
 public:
  using Function = std::function<torch::Tensor(const torch::Tensor&)>;

  explicit FunctionChildImpl(Function function)
      : function_(std::move(function)) {}

  torch::Tensor forward(const torch::Tensor& input) {
    log.add(input, is_training());
    return function_(input);
  }

  CallLog log;

 private:
  Function function_;
};
TORCH_MODULE(FunctionChild);

}  // namespace gatedpaths::test
