// SPDX-License-Identifier: MIT
#include "batches.hpp"

#include "counter_random.hpp"

#include <gatedpaths/gates/stream_seed.hpp>

#include <ATen/ops/arange.h>

#include <algorithm>
#include <utility>

namespace cifar10 {
namespace {

torch::Tensor scaled(const torch::Tensor& bytes) {
  return bytes.to(torch::kFloat32).div_(127.5).sub_(1.0);
}

}  // namespace

torch::Tensor epoch_order(
    std::int64_t size, std::uint64_t seed, std::int64_t epoch) {
  auto order = torch::arange(size, torch::kInt64);
  auto* values = order.data_ptr<std::int64_t>();
  // A stream of its own: the sampler of paths has the same seed.
  CounterRandom random(
      gatedpaths::stream_seed(seed, "epoch order"),
      static_cast<std::uint64_t>(epoch));
  for (auto i = size - 1; i > 0; --i) {  // Fisher and Yates
    std::swap(
        values[i], values[random.below(static_cast<std::uint32_t>(i + 1))]);
  }
  return order;
}

Batch make_batch(const Images& images, const torch::Tensor& indices) {
  return {
      scaled(images.pixels.index_select(0, indices)),
      images.labels.index_select(0, indices)};
}

Batch make_batch(const Images& images, std::int64_t begin, std::int64_t end) {
  return {
      scaled(images.pixels.slice(0, begin, end)),
      images.labels.slice(0, begin, end)};
}

std::int64_t batch_count(std::int64_t size, std::int64_t batch_size) {
  return (size + batch_size - 1) / batch_size;
}

Range batch_range(
    std::int64_t index, std::int64_t size, std::int64_t batch_size) {
  const auto begin = index * batch_size;
  return {begin, std::min(begin + batch_size, size)};
}

}  // namespace cifar10
