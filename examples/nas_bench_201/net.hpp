// SPDX-License-Identifier: MIT
// The net of NAS-Bench-201, of which the cell is searched.
#pragma once

#include "architecture.hpp"

#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/search/path_cost.hpp>

#include <torch/nn/cloneable.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/pimpl.h>

#include <array>
#include <cstdint>
#include <vector>

namespace nas_bench_201 {

struct NetOptions {
  std::int64_t channels =
      16;                  ///< Of the first stage; the next have twice each.
  std::int64_t cells = 5;  ///< Of each of the three stages.
  std::int64_t classes = 10;
};

/// One operation on one edge, with weights of its own in each cell of the net.
class OperationImpl : public torch::nn::Cloneable<OperationImpl> {
 public:
  /// The operation of this number, in cells with so many channels each.
  ///
  /// Throws: `c10::IndexError` for an operation that there is not.
  OperationImpl(std::int64_t operation, std::vector<std::int64_t> channels);

  /// Makes the modules of all cells, with fresh weights.
  void reset() override;

  /// Says which cell's turn it is; at first that of cell 0.
  ///
  /// Throws: `c10::IndexError` for a cell that there is not.
  void set_cell(std::int64_t cell);

  /// Runs that cell's: from [N, C, H, W] to the same.
  torch::Tensor forward(const torch::Tensor& x);

 private:
  std::int64_t operation_;
  std::vector<std::int64_t> channels_;
  std::vector<torch::nn::Sequential> cells_;
  std::int64_t cell_ = 0;
};

TORCH_MODULE(Operation);

/// A 3x3 convolution, three stages of cells with a residual block that halves
/// the resolution between them, the mean over the image, a linear layer.
///
/// All cells are alike: a gate, `edge_0_1` to `edge_2_3`, is an edge of every
/// cell, and a branch of it holds that operation for all of them. So the space
/// is `layout()`, whatever the options, and a path's text is a cell's; what
/// takes a network and a path (`CostModel`, `evaluate`, `derive`, ...) takes
/// this one. (A gate that draws by itself does so anew in each cell.)
class NetImpl : public torch::nn::Cloneable<NetImpl> {
 public:
  /// Throws: `c10::ValueError` for options that are not above 0, or beyond
  /// reason.
  explicit NetImpl(const NetOptions& options = {});

  /// Makes all modules, with fresh weights.
  void reset() override;

  /// Takes images [N, 3, H, W], H and W multiples of 4 (32 x 32 in the
  /// benchmark, 16 x 16 of ImageNet16-120), gives the logits of the classes
  /// [N, classes].
  ///
  /// Throws: `c10::ValueError` for another shape.
  torch::Tensor forward(const torch::Tensor& images);

  /// What the benchmark gives as FLOPs for what the net costs on one image: the
  /// multiply-accumulates, and an addition for each bias.
  std::int64_t published_flops(const gatedpaths::PathCost& cost) const {
    return cost.macs + options_.classes;
  }

 private:
  torch::Tensor run_cell(const torch::Tensor& input, std::int64_t cell);

  NetOptions options_;
  torch::nn::Sequential stem_{nullptr};
  std::vector<gatedpaths::ChoiceBlock<Operation>> edges_;
  torch::nn::Sequential reductions_{nullptr};
  torch::nn::Sequential head_{nullptr};
};

TORCH_MODULE(Net);

}  // namespace nas_bench_201
