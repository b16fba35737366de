// SPDX-License-Identifier: MIT
// What a stage runs on. Not installed.
#pragma once

#include <gatedpaths/branches/detail/input_watch.hpp>
#include <gatedpaths/search/stage.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gatedpaths::detail {

/// An input on which stages run, one after the other, and which has to stay as
/// it is.
class StageInput {
 public:
  /// `is_watched`: whether it is seen that it stays. To be false where nothing
  /// reads it, or what has the same memory, again.
  explicit StageInput(const at::Tensor& tensor, bool is_watched = true);

  const at::Tensor& tensor() const noexcept { return tensor_; }

  /// Runs stage `index` on it. Throws where that returns nothing, or has
  /// changed the input.
  at::Tensor run(const Stage& stage, int64_t index) const;

  /// Throws where the metric has changed the input, through the output.
  void check_metric() const;

 private:
  InputWatch watch_;
  at::Tensor tensor_;
};

}  // namespace gatedpaths::detail
