// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

/// Gates for each sample: which samples each branch runs on, and the way of
/// their rows there and back.

namespace gatedpaths::detail {

/// Which samples of a batch each branch of a gate runs on.
struct GATEDPATHS_EXPORT SampleGates {
  int64_t batch = 0;
  std::vector<std::vector<int64_t>> samples;  // of each branch, ascending
  std::vector<int64_t> ran;                   // branches with a sample
  /// Of each branch that ran: its samples as a tensor on the input's device;
  /// undefined where it ran on all.
  std::vector<at::Tensor> rows;
  bool disjoint = true;  // no sample ran in two branches

  /// Whether some branch ran on a part of the samples only.
  bool is_partial() const noexcept;

  /// How many branches each sample ran in.
  std::vector<int64_t> counts() const;
};

/// Reads `open`, a bool tensor `[batch]` or `[batch, branches]`, into
/// `samples`.
SampleGates read_sample_gates(const at::Tensor& open, int64_t branches);

/// Fills all that follows from `samples`. Costs no synchronisation.
void finish_sample_gates(SampleGates& gates, at::Device device);

/// Numbers of the host on `device`, without waiting for it.
at::Tensor to_device(const std::vector<int64_t>& numbers, at::Device device);

/// The samples of `input`, along dim 0, that each of `rows` lists, in the
/// input's memory format; `input` itself where one is undefined. `disjoint`: no
/// sample is in two lists.
GATEDPATHS_EXPORT std::vector<at::Tensor> take_rows(
    const at::Tensor& input,
    const std::vector<at::Tensor>& rows,
    bool disjoint);

/// The sum over `values`, which have one dtype, of a batch that has the rows of
/// a value at the samples that `rows` lists for it, and zeros elsewhere. Where
/// the list is undefined, the value is the batch. In the memory format of the
/// first value. No value touches other rows than its own: a NaN stays there.
/// Half and bfloat16 are added up in float.
GATEDPATHS_EXPORT at::Tensor put_rows(
    at::TensorList values,
    const std::vector<at::Tensor>& rows,
    int64_t batch,
    bool disjoint);

}  // namespace gatedpaths::detail
