// SPDX-License-Identifier: MIT
#pragma once

#include <torch/types.h>

#include <cstdint>

namespace nas_bench_macro {

/// What nets for CIFAR-10 are usually trained on (He et al., arXiv 1512.03385):
/// each image [B, C, H, W] mirrored or not, and moved by up to an eighth of its
/// side both ways, with zeros where it has nothing. A function of the images,
/// the seed and the step.
torch::Tensor augmented(
    const torch::Tensor& images, std::uint64_t seed, std::int64_t step);

}  // namespace nas_bench_macro
