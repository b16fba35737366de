// SPDX-License-Identifier: MIT
#include "search_images.hpp"

#include <c10/util/Exception.h>
#include <torch/nn/functional/pooling.h>

#include <fmt/format.h>

#include <utility>

namespace nas_bench_macro {
namespace {

/// Of the images to train on, with `--estimator`: as ProxylessNAS has it.
constexpr std::int64_t kArchitecturePart = 10;  // a tenth

cifar10::Images part(
    const cifar10::Images& images, std::int64_t begin, std::int64_t end) {
  return {
      images.pixels.slice(0, begin, end), images.labels.slice(0, begin, end)};
}

}  // namespace

SearchImages split(cifar10::Dataset data, const Options& options) {
  const auto size = data.train.size();
  const auto kept = size - options.scale.held_out;
  TORCH_CHECK_VALUE(
      kept >= options.batch_size && kept >= options.scale.recalibration,
      fmt::format(
          "expected more images than {} held out, with a batch of {} and {} "
          "for "
          "batch norm among the rest, got {}",
          options.scale.held_out,
          options.batch_size,
          options.scale.recalibration,
          size));
  const auto learned = options.estimator.empty() ? 0 : kept / kArchitecturePart;
  return {
      .train = part(data.train, 0, kept - learned),
      .architecture = part(data.train, kept - learned, kept),
      .held_out = part(data.train, kept, size),
      .test = std::move(data.test),
      .description = std::move(data.description),
      .is_stand_in = data.is_stand_in};
}

torch::Tensor resized(const torch::Tensor& images, std::int64_t side) {
  const auto factor = images.size(2) / side;
  const auto small =
      factor == 1
          ? images
          : torch::nn::functional::avg_pool2d(
                images, torch::nn::functional::AvgPool2dFuncOptions(factor));
  return small.contiguous(torch::MemoryFormat::ChannelsLast);
}

}  // namespace nas_bench_macro
