// SPDX-License-Identifier: MIT
// Zeros that follow the batch in a trace. Not installed.
#pragma once

#include <gatedpaths/branches/detail/output_spec.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gatedpaths::detail {

/// While it lives, zeros in place of outputs are made of the rows of `input`,
/// in this thread: a trace has no sizes but those that it was made with, so
/// that its zeros would else have the batch of its example.
class TracedRows {
 public:
  /// `input` is kept by reference. One without rows has no effect.
  explicit TracedRows(const at::Tensor& input);
  ~TracedRows();
  TracedRows(const TracedRows&) = delete;
  TracedRows& operator=(const TracedRows&) = delete;

  /// Such zeros; undefined where there is no input of so many rows, or the spec
  /// does not follow the batch.
  static at::Tensor zeros(const TensorSpec& spec, int64_t batch);

 private:
  const at::Tensor& input_;
  TracedRows* outer_;
};

}  // namespace gatedpaths::detail
