// SPDX-License-Identifier: MIT
// From images in memory to batches, in an order that depends on nothing but the
// seed and the epoch.
#pragma once

#include "dataset.hpp"

#include <torch/types.h>

#include <cstdint>

namespace cifar10 {

struct Batch {
  torch::Tensor images;  // float [B, 3, 32, 32], from -1 to 1
  torch::Tensor labels;  // int64 [B]
};

/// A permutation of 0 ... `size - 1`, as int64 [size].
torch::Tensor epoch_order(
    std::int64_t size, std::uint64_t seed, std::int64_t epoch);

/// The images at these indices.
Batch make_batch(const Images& images, const torch::Tensor& indices);

/// The images from `begin` up to, not including, `end`.
Batch make_batch(const Images& images, std::int64_t begin, std::int64_t end);

/// The number of batches that `size` images make; the last may be smaller.
std::int64_t batch_count(std::int64_t size, std::int64_t batch_size);

/// The `index`-th of them, as a range of positions.
struct Range {
  std::int64_t begin;
  std::int64_t end;
};
Range batch_range(
    std::int64_t index, std::int64_t size, std::int64_t batch_size);

}  // namespace cifar10
