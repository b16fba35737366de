// SPDX-License-Identifier: MIT
// What the tests of stochastic depth share.
#pragma once

#include <gatedpaths/depth/stochastic_depth.hpp>

#include <torch/nn/cloneable.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "support/catch.hpp"
#include "support/counting_child.hpp"

namespace gatedpaths::test {

/// Where a test names none.
inline constexpr double kDepthRate = 0.4;

inline StochasticDepthOptions depth_options(
    DropMode mode, DropScale scale, double rate = kDepthRate) {
  return StochasticDepthOptions(rate).mode(mode).scale(scale).seed(7);
}

inline DropMode any_drop_mode() {
  return GENERATE(DropMode::kRow, DropMode::kBatch, DropMode::kSubset);
}

inline DropScale any_drop_scale() {
  return GENERATE(
      DropScale::kNone,
      DropScale::kTrainInverse,
      DropScale::kTrainRealised,
      DropScale::kEval);
}

/// What the branch of each row is multiplied by; 0 for dropped rows.
class DepthFactors {
 public:
  DepthFactors(const StochasticDepthOptions& options, int64_t batch)
      : depth_(
            FunctionChild(
                [](const torch::Tensor& x) { return torch::ones_like(x); }),
            options),
        zeros_(torch::zeros({batch, 1}, torch::kDouble)) {}

  torch::Tensor next() { return depth_->forward(zeros_).squeeze(1); }

 private:
  StochasticDepth<FunctionChild> depth_;
  torch::Tensor zeros_;
};

/// The rows whose factor is not 0.
inline std::vector<int64_t> depth_rows(const torch::Tensor& factors) {
  std::vector<int64_t> rows;
  for (int64_t row = 0; row < factors.size(0); ++row) {
    if (factors[row].item<double>() != 0) {
      rows.push_back(row);
    }
  }
  return rows;
}

/// A smooth row-wise branch.
struct DepthBlockImpl : torch::nn::Cloneable<DepthBlockImpl> {
  explicit DepthBlockImpl(int64_t size = 3) : features(size) { reset(); }
  void reset() override {
    linear = register_module("linear", torch::nn::Linear(features, features));
  }
  torch::Tensor forward(const torch::Tensor& x) {
    log.add(x, is_training());
    return torch::tanh(linear->forward(x));
  }

  int64_t features;
  torch::nn::Linear linear = nullptr;
  CallLog log;
};
TORCH_MODULE(DepthBlock);

inline DepthBlock depth_block() {
  torch::manual_seed(1);
  DepthBlock block(3);
  block->to(torch::kDouble);
  return block;
}

/// Runs until the branch is dropped, or kept.
template <class Child>
torch::Tensor depth_forward_until(
    StochasticDepth<Child>& depth, const torch::Tensor& x, bool kept) {
  for (int i = 0; i < 200; ++i) {
    auto output = depth->forward(x);
    if (depth->ran_branches().empty() != kept) {
      return output;
    }
  }
  FAIL("no such draw in 200");
  return {};
}

}  // namespace gatedpaths::test
