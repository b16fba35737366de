// SPDX-License-Identifier: MIT
#include "evaluation.hpp"

#include "batches.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>

#include <cstdint>

namespace cifar10 {
namespace {

constexpr std::int64_t kBatchSize = 250;

/// How many images of each class there are, or how many of them are right.
torch::Tensor count_classes(const torch::Tensor& labels) {
  return torch::bincount(labels, {}, kClasses).cpu();
}

PathAccuracy test_path(Net& net, std::string path, const Images& images) {
  auto right = torch::zeros({kClasses}, torch::kInt64);
  const auto batches = batch_count(images.size(), kBatchSize);
  for (std::int64_t i = 0; i < batches; ++i) {
    const auto [begin, end] = batch_range(i, images.size(), kBatchSize);
    const auto batch = make_batch(images, begin, end);
    const auto hit = net->forward(batch.images).argmax(1).eq(batch.labels);
    right += count_classes(batch.labels.masked_select(hit));
  }
  const auto all = count_classes(images.labels);
  PathAccuracy result{.path = std::move(path)};
  result.accuracy = right.sum().item<double>() / all.sum().item<double>();
  const auto shares = (right.to(torch::kFloat64) / all).contiguous();
  for (std::size_t i = 0; i < kClasses; ++i) {
    result.classes[i] = shares.data_ptr<double>()[i];
  }
  return result;
}

}  // namespace

std::vector<PathAccuracy> test_paths(
    Net& net, gatedpaths::PathSpace& space, const Images& images) {
  const at::NoGradGuard no_grad;
  const bool training = net->is_training();
  net->eval();
  std::vector<PathAccuracy> results;
  for (std::uint64_t i = 0; i < space.size(); ++i) {
    const auto path = space.at(i);
    space.apply(path);
    results.push_back(test_path(net, space.to_string(path), images));
  }
  net->train(training);
  return results;
}

}  // namespace cifar10
