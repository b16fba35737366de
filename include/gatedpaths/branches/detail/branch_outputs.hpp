// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>

#include <cstdint>
#include <memory>

namespace gatedpaths::detail {
struct OutputEntry;
struct SampleGates;

/// What one forward of a gate's branches gave.
struct BranchOutputs {
  std::shared_ptr<OutputEntry> entry;
  int64_t batch = -1;
  c10::SmallVector<int64_t, 4> positions;  // ascending
  c10::SmallVector<at::Tensor, 4> values;
  std::shared_ptr<const SampleGates> gates;  // where given for each sample
};

}  // namespace gatedpaths::detail
