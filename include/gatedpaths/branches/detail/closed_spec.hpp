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
  uint64_t state = 0;  // of the module
  const OutputSpec* open_sibling = nullptr;
  // What is expected for the numbers in the input, if anything: for all batch
  // sizes, and for the one at hand.
  const OutputSpec* expected = nullptr;
  const OutputSpec* expected_here = nullptr;
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

/// Finds out what the branch would return for this batch, by probes with few
/// samples that tell how it follows the batch, or by one with as many as there
/// are.
///
/// Throws: `c10::Error` that names the branch where all probes fail.
GATEDPATHS_EXPORT void probe_output(
    const ClosedBranch& branch,
    const InputKind& input,
    KnownOutput& known,
    int64_t batch,
    Probe probe);

/// The spec of a closed branch, from the first source that has one: an open
/// sibling or sizes that are declared, what was returned for such an input,
/// probes. Writes to the entry what may be used again.
///
/// Throws: `c10::Error` that names the branch where no source has one.
GATEDPATHS_EXPORT const OutputSpec& closed_spec(
    const ClosedBranch& branch, OutputEntry& entry, int64_t batch, Probe probe);

}  // namespace gatedpaths::detail
