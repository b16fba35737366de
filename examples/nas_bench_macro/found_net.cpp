// SPDX-License-Identifier: MIT
#include "found_net.hpp"

#include "net.hpp"

#include <gatedpaths/exchange/dense_state.hpp>
#include <gatedpaths/exchange/derive.hpp>
#include <gatedpaths/exchange/safetensors.hpp>
#include <gatedpaths/training/recalibrate_batch_norm.hpp>

#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include <cstdint>

namespace nas_bench_macro {
namespace {

namespace gp = gatedpaths;

constexpr std::int64_t kTestBatch = 500;

/// The derived net is the path: bit for bit, in eval mode.
void require_equal(
    Supernet& supernet,
    Net& derived,
    const gp::Path& path,
    const torch::Tensor& images) {
  supernet.space().apply(path);
  supernet.net()->eval();
  derived->eval();
  const c10::InferenceMode inference;
  TORCH_CHECK(
      torch::equal(derived->forward(images), supernet.net()->forward(images)),
      "expected the derived net to give what the supernet's path gives, got "
      "something else");
}

double accuracy_of(Net& net, const cifar10::Images& images, std::int64_t side) {
  const c10::InferenceMode inference;
  net->eval();
  std::int64_t correct = 0;
  const auto batches = cifar10::batch_count(images.size(), kTestBatch);
  for (std::int64_t i = 0; i < batches; ++i) {
    const auto [begin, end] =
        cifar10::batch_range(i, images.size(), kTestBatch);
    const auto batch = cifar10::make_batch(images, begin, end);
    correct += net->forward(resized(batch.images, side))
                   .argmax(1)
                   .eq(batch.labels)
                   .sum()
                   .item<std::int64_t>();
  }
  return static_cast<double>(correct) / static_cast<double>(images.size());
}

}  // namespace

double derive_found_net(
    const Options& options,
    Supernet& supernet,
    const Ranking& ranking,
    const gp::Path& path) {
  auto derived = gp::derive(supernet.net(), supernet.space(), path);
  const auto& test = supernet.images().test;
  require_equal(
      supernet,
      derived,
      path,
      resized(cifar10::make_batch(test, 0, 1).images, options.scale.side));
  if (!ranking.recalibration().empty()) {
    gp::recalibrate_batch_norm(derived, ranking.recalibration());
  }
  gp::save_safetensors(
      options.out / "net.safetensors",
      gp::slots_to_dense(derived),
      {{"architecture", architecture(path)}});
  return accuracy_of(derived, test, options.scale.side);
}

}  // namespace nas_bench_macro
