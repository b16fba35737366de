// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/search/count_convention.hpp>

#include <torch/arg.h>

#include <cstdint>

namespace gatedpaths {

/// What `CostModel::measure` measures, and how.
struct CostOptions {
  /// What counts as a floating point operation. Default: that of
  /// `torch.utils.flop_counter`.
  TORCH_ARG(CountConvention, convention) =
      CountConvention::torch_flop_counter();

  /// Whether to find out what a training forward keeps for backward, which runs
  /// each branch once more. Default: true.
  TORCH_ARG(bool, activations) = true;

  /// How often to measure the time of each branch; 0 leaves latency out.
  /// Default: 0.
  TORCH_ARG(int64_t, latency_repetitions) = 0;

  /// How often to run each branch before, unmeasured. Default: 3.
  TORCH_ARG(int64_t, warm_up) = 3;

  /// On how many paths, drawn at random, to hold the sum of the parts against
  /// what the path itself has; two more are the same in each space, and where
  /// there are no more than these, all are. 0: on none. Default: 6.
  TORCH_ARG(int64_t, checked_paths) = 6;
};

}  // namespace gatedpaths
