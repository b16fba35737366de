// SPDX-License-Identifier: MIT
#include "augmentation.hpp"

#include "counter_random.hpp"

#include <gatedpaths/gates/stream_seed.hpp>

#include <ATen/ops/empty_like.h>
#include <torch/nn/functional/padding.h>

namespace nas_bench_macro {

torch::Tensor augmented(
    const torch::Tensor& images, std::uint64_t seed, std::int64_t step) {
  const auto height = images.size(2);
  const auto width = images.size(3);
  const auto most = height / 8;
  const auto padded = torch::nn::functional::pad(
      images, torch::nn::functional::PadFuncOptions({most, most, most, most}));
  cifar10::CounterRandom random(
      gatedpaths::stream_seed(seed, "augmentation"),
      static_cast<std::uint64_t>(step));
  const auto places = static_cast<std::uint32_t>(2 * most + 1);
  auto result = torch::empty_like(images);
  for (std::int64_t i = 0; i < images.size(0); ++i) {
    const auto part = padded[i]
                          .narrow(1, random.below(places), height)
                          .narrow(2, random.below(places), width);
    result[i].copy_(random.below(2) == 0 ? part : part.flip(2));
  }
  return result;
}

}  // namespace nas_bench_macro
