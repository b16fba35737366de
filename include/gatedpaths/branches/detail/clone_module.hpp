// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <torch/nn/module.h>

#include <memory>
#include <optional>

namespace gatedpaths::detail {

/// A deep copy of `module` by its own `clone()`, with what LibTorch's clones
/// forget put right: the train or eval mode of every part, and `requires_grad`
/// of every parameter.
GATEDPATHS_EXPORT std::shared_ptr<torch::nn::Module> clone_module(
    const torch::nn::Module& module,
    const std::optional<torch::Device>& device);

/// What LibTorch's clones forget, for a module and all below it.
GATEDPATHS_EXPORT void copy_requires_grad(
    const torch::nn::Module& from, torch::nn::Module& to);

}  // namespace gatedpaths::detail
