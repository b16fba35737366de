// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/branch_label.hpp>
#include <gatedpaths/branches/detail/output_memory.hpp>
#include <gatedpaths/branches/detail/output_spec.hpp>
#include <gatedpaths/branches/output_shape.hpp>
#include <gatedpaths/export.hpp>

#include <c10/util/FunctionRef.h>
#include <torch/nn/module.h>

#include <cstdint>

namespace gatedpaths::detail {

/// Everything about a closed branch that decides the zeros in its place.
struct ClosedBranch {
  BranchLabel label;
  torch::nn::Module& module;
  const OutputShape& shape;
  const OutputSpec* open_sibling = nullptr;
};

/// Runs a branch on an input made for learning its output's shape: of `samples`
/// samples, or, with -1, of as many as the input at hand.
using Probe = c10::function_ref<FlatOutput(int64_t samples)>;

/// Throws where `returned` is not what `shape` declares.
GATEDPATHS_EXPORT void check_declared(
    const ClosedBranch& branch,
    const InputKind& input,
    const OutputSpec& returned,
    int64_t batch);

/// The spec of a closed branch, from the first source that has one: what is
/// declared, what was returned for such an input, a probe with no sample, a
/// probe with one in eval mode, one with all in eval mode. Writes to the entry
/// what may be used again.
///
/// Throws: `c10::Error` that names the branch where no source has one.
GATEDPATHS_EXPORT const OutputSpec& closed_spec(
    const ClosedBranch& branch, OutputEntry& entry, int64_t batch, Probe probe);

}  // namespace gatedpaths::detail
