// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/search/counted_space.hpp>

#include <torch/arg.h>

#include <optional>
#include <string>
#include <vector>

namespace gatedpaths {

/// Which values of an objective are good.
enum class Direction {
  kMaximize,  ///< Large ones, as of an accuracy.
  kMinimize,  ///< Small ones, as of a loss or a cost.
};

/// What a search looks for: one of the values that it is told of each path.
struct Objective {
  std::string name = "value";                  ///< For messages and files.
  Direction direction = Direction::kMaximize;  ///< Which values are good.

  bool operator==(const Objective&) const = default;
};

/// What all search strategies can be told.
///
/// Example:
/// ```
/// gatedpaths::SearchOptions()
///     .objectives({{"accuracy"}, {"macs", gatedpaths::Direction::kMinimize}})
///     .within(gatedpaths::CountedSpace(budget));
/// ```
struct SearchOptions {
  /// What the values of a path are, in order. Default: one, to be maximised.
  TORCH_ARG(std::vector<Objective>, objectives) = { Objective{} };

  /// The paths to ask for: those that keep a budget. Default: all.
  TORCH_ARG(std::optional<CountedSpace>, within);

  /// Whether to ask for paths again that were asked for or told before: where
  /// values are noisy, say. Default: false.
  TORCH_ARG(bool, repeats) = false;
};

}  // namespace gatedpaths
