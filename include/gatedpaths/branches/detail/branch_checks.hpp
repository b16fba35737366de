// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/branch_label.hpp>
#include <gatedpaths/export.hpp>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>

namespace gatedpaths::detail {

/// Throws where a module has parameters and none of them is on the device of
/// the input.
GATEDPATHS_EXPORT void check_device(
    const BranchLabel& branch,
    const torch::nn::Module& module,
    at::Device device);

/// Throws where a branch that ran on some samples returned a tensor that does
/// not have one row for each.
GATEDPATHS_EXPORT void check_rows(
    const BranchLabel& branch, const at::Tensor& output, int64_t samples);

}  // namespace gatedpaths::detail
