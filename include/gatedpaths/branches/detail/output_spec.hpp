// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>

#include <cstdint>
#include <string>
#include <vector>

namespace gatedpaths::detail {

/// One size of an output: `fixed + per_sample * batch`.
struct SizeRule {
  int64_t fixed = 0;
  int64_t per_sample = 0;

  int64_t at(int64_t batch) const noexcept {
    return fixed + per_sample * batch;
  }
  bool operator==(const SizeRule&) const = default;
};

/// Everything that is needed to make zeros in place of one output tensor.
struct GATEDPATHS_EXPORT TensorSpec {
  bool defined = true;
  c10::SmallVector<SizeRule, 5> sizes;
  at::ScalarType dtype = at::kFloat;
  at::Device device = at::kCPU;
  at::MemoryFormat memory_format = at::MemoryFormat::Contiguous;

  c10::SmallVector<int64_t, 5> sizes_at(int64_t batch) const;
  at::Tensor zeros(int64_t batch) const;
  /// `sizes_at(batch)` as text: `[8, 16, 5, 5]`.
  std::string text(int64_t batch) const;
};

/// What is known of the output of one branch for one kind of input: its tensors
/// in order of appearance, and how vectors and optionals in it are filled.
struct GATEDPATHS_EXPORT OutputSpec {
  enum class Source { kDeclared, kReturned, kProbed };

  Source source = Source::kReturned;
  std::vector<TensorSpec> tensors;
  std::vector<int64_t> structure;
  /// The same with fixed sizes: those for this batch.
  OutputSpec fixed_at(int64_t batch) const;

  /// Whether both have the same structure, and tensors of the same dtypes,
  /// devices and numbers of dims.
  bool same_kind(const OutputSpec& other) const;

  /// Whether both have the same structure and, for this batch, sizes.
  bool same_sizes(const OutputSpec& other, int64_t batch) const;
};

/// An output taken apart: its tensors and, for vectors and optionals, how many.
struct FlatOutput {
  c10::SmallVector<at::Tensor, 1> tensors;
  c10::SmallVector<int64_t, 2> structure;
};

/// The spec of `output` as it is, with fixed sizes.
GATEDPATHS_EXPORT OutputSpec
spec_of(const FlatOutput& output, OutputSpec::Source source);

}  // namespace gatedpaths::detail
