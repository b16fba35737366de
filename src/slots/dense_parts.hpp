// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// What layers on slots and their dense forms have in common, all of which
/// follows from `SlotConsumer::slot_splits()`.

namespace gatedpaths::detail {

/// One tensor of the dense network and where its parts are in the network on
/// slots.
struct DenseTensor {
  std::string name;
  std::vector<std::string> part_names;
  std::vector<at::Tensor> parts;
  int64_t dim = 0;
  bool whole = true;

  /// What the dense network holds where the other holds `values` in place of
  /// its parts, as a copy; undefined where all of them are. Without a graph.
  at::Tensor joined(std::vector<at::Tensor> values) const;

  /// The values of the parts where the dense network holds `dense`.
  std::vector<at::Tensor> split(const at::Tensor& dense) const;

  /// In the dense network.
  std::vector<int64_t> sizes() const;
};

/// The parameters and buffers of `net`, a network or a single layer, as the
/// dense one has them. Those of a layer on slots that are cut stand before its
/// others.
std::vector<DenseTensor> dense_tensors(const torch::nn::Module& net);

/// Which dtype and device a converted layer takes from the other: those of the
/// weight for all, or each tensor its own.
enum class Dtypes { kOfWeight, kOfEach };

/// Gives a layer on slots the values of the dense one, `requires_grad` and
/// mode.
void copy_from_dense(
    torch::nn::Module& layer, const torch::nn::Module& dense, Dtypes dtypes);

/// The reverse. A tensor needs a gradient where one of its parts does.
void copy_to_dense(
    const torch::nn::Module& layer, torch::nn::Module& dense, Dtypes dtypes);

/// Throws where `sizes`, which the layer calls `option`, do not add up to the
/// dense layer's `total`, called `total_name` there.
void check_sum(
    std::string_view where,
    std::string_view option,
    c10::IntArrayRef sizes,
    std::string_view total_name,
    int64_t total);

}  // namespace gatedpaths::detail
