// SPDX-License-Identifier: MIT
#pragma once

#include <torch/optim/optimizer.h>
#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace gatedpaths::differential {

/// A random optimizer with one or two groups of most of these parameters: for
/// two lists of equal length, the same of both.
std::unique_ptr<torch::optim::Optimizer> random_optimizer(
    const std::vector<torch::Tensor>& parameters, uint64_t seed);

}  // namespace gatedpaths::differential
