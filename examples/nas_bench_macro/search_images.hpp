// SPDX-License-Identifier: MIT
// The images of a search: those that train the supernet, those that rank its
// paths, and the test images, which only the found net sees.
#pragma once

#include "batches.hpp"
#include "dataset.hpp"
#include "options.hpp"

#include <torch/types.h>

#include <cstdint>
#include <string>

namespace nas_bench_macro {

struct SearchImages {
  cifar10::Images train;         ///< Trains the supernet.
  cifar10::Images architecture;  ///< Trains the logits; empty without.
  cifar10::Images held_out;      ///< Ranks paths: the last of the training set.
  cifar10::Images test;
  std::string description;  ///< What they are and where they are from.
  bool is_stand_in = false;
};

/// Throws: `c10::ValueError` where there are too few images to train on.
SearchImages split(cifar10::Dataset data, const Options& options);

/// Makes the images smaller, by means of squares, and channels-last: [N, 3,
/// side, side].
torch::Tensor resized(const torch::Tensor& images, std::int64_t side);

}  // namespace nas_bench_macro
