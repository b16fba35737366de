// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/input_signature.hpp>
#include <gatedpaths/branches/detail/output_spec.hpp>
#include <gatedpaths/branches/output_shape.hpp>
#include <gatedpaths/export.hpp>

#include <ATen/core/Tensor.h>
#include <c10/util/FunctionRef.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
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

/// How messages name a branch: `branch 2 ('conv5')`.
GATEDPATHS_EXPORT std::string branch_text(int64_t index, std::string_view name);

/// Everything about a closed branch that decides the zeros in its place.
struct ClosedBranch {
  std::string_view gate_kind;
  int64_t index = 0;
  std::string_view name;
  torch::nn::Module& module;
  const OutputShape& shape;
  const OutputSpec* open_sibling = nullptr;
};

/// Runs a branch on an input made for learning its output's shape: of `samples`
/// samples, or, with -1, of as many as the input at hand.
using Probe = c10::function_ref<FlatOutput(int64_t samples)>;

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

/// Throws where a module has parameters and none of them is on the device of
/// the input.
GATEDPATHS_EXPORT void check_device(
    std::string_view gate_kind,
    int64_t index,
    std::string_view name,
    const torch::nn::Module& module,
    at::Device device);

/// Throws where a branch that ran on some samples returned a tensor that does
/// not have one row for each.
GATEDPATHS_EXPORT void check_rows(
    std::string_view gate_kind,
    int64_t index,
    std::string_view name,
    const at::Tensor& output,
    int64_t samples);

/// Throws where a closed branch changed its input in place: `before` and
/// `after` its run are the input's versions.
GATEDPATHS_EXPORT void check_input_kept(
    std::string_view gate_kind,
    int64_t index,
    std::string_view name,
    int64_t before,
    int64_t after);

}  // namespace gatedpaths::detail
