// SPDX-License-Identifier: MIT
// One run of one stage. Not installed.
#pragma once

#include <gatedpaths/branches/detail/input_watch.hpp>
#include <gatedpaths/search/stage.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gatedpaths::detail {

/// Runs a stage on an input that is read again, and sees that it stays as it
/// is.
class StageRun {
 public:
  /// Runs stage `index`. Throws where it returns nothing, or has changed its
  /// input.
  StageRun(const Stage& stage, int64_t index, const at::Tensor& input);

  const at::Tensor& output() const& noexcept { return output_; }
  at::Tensor output() && noexcept { return std::move(output_); }

  /// Throws where the metric has changed the input since, through the output.
  void check_metric() const;

 private:
  InputWatch watch_;
  at::Tensor output_;
};

}  // namespace gatedpaths::detail
