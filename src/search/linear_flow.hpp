// SPDX-License-Identifier: MIT
// A network whose signals only add up. Not installed.
#pragma once

#include <torch/nn/module.h>

#include <memory>

namespace gatedpaths::detail {

/// While what it returns lives, a network's parameters and buffers have their
/// absolute values, in double, and its batch norm passes on what it gets.
/// Afterwards each has its own memory again, which was not written to.
std::shared_ptr<void> linear_flow(torch::nn::Module& net);

}  // namespace gatedpaths::detail
