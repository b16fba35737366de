// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/input_signature.hpp>
#include <gatedpaths/branches/detail/output_spec.hpp>
#include <gatedpaths/export.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace gatedpaths::detail {

/// What the first tensor of an input looks like: enough to make another of the
/// same kind.
struct GATEDPATHS_EXPORT InputKind {
  std::vector<int64_t> sizes;  // without the batch dim
  bool has_batch = true;       // false for an input without dims
  at::ScalarType dtype = at::kFloat;
  at::Device device = at::kCPU;
  at::MemoryFormat memory_format = at::MemoryFormat::Contiguous;
  std::optional<at::ScalarType> autocast;  // its dtype, where it is on

  static InputKind of(const at::Tensor& input);
  /// Zeros of this kind; `samples` of them.
  at::Tensor zeros(int64_t samples) const;
};

/// What the branches of one gate return for one kind of input.
struct OutputEntry {
  InputSignature signature;
  InputKind input;
  std::vector<std::optional<OutputSpec>> specs;  // one a branch
};

/// Remembers what each branch returned, so that zeros can stand in for it.
class GATEDPATHS_EXPORT OutputMemory {
 public:
  explicit OutputMemory(size_t branches) : branches_(branches) {}

  /// The entry for inputs like this one, which has a tensor; made where there
  /// is none.
  const std::shared_ptr<OutputEntry>& entry(const InputSignature& signature) {
    if (last_ && last_->signature == signature) {
      return last_;
    }
    return find_or_make(signature);
  }

  /// Forgets everything, as after a move to another dtype.
  void clear() noexcept;

 private:
  const std::shared_ptr<OutputEntry>& find_or_make(
      const InputSignature& signature);

  size_t branches_;
  std::shared_ptr<OutputEntry> last_;
  std::vector<std::shared_ptr<OutputEntry>> entries_;  // oldest first
};

/// Whether `spec` describes `output` for this batch.
GATEDPATHS_EXPORT bool describes(
    const OutputSpec& spec, const at::Tensor& output, int64_t batch);

/// The spec of an output that was really returned.
GATEDPATHS_EXPORT OutputSpec
spec_of_returned(const FlatOutput& output, int64_t batch);

/// Writes to `known` what was returned. How sizes follow the batch, where a
/// probe told and it is still right, is kept.
GATEDPATHS_EXPORT void update_known(
    std::optional<OutputSpec>& known, OutputSpec returned, int64_t batch);

}  // namespace gatedpaths::detail
