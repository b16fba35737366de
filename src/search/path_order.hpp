// SPDX-License-Identifier: MIT
// The order in which paths share the most stages. Not installed.
#pragma once

#include <gatedpaths/paths/path.hpp>

#include <c10/util/ArrayRef.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace gatedpaths::detail {

/// Paths in the order of a walk over their trie: a level for each stage, where
/// those that set the gates of the stage alike have one node. Nodes stand in
/// the order in which the paths that were given come to them.
class PathOrder {
 public:
  /// Gives the stage of a gate.
  using StageOf = std::function<int64_t(int64_t gate)>;

  PathOrder(c10::ArrayRef<Path> paths, int64_t stages, const StageOf& stage_of);

  /// The number of paths.
  size_t size() const noexcept { return order_.size(); }

  /// Which of the given paths stands at `position`.
  size_t path(size_t position) const { return order_[position]; }

  /// The first stage that is set otherwise at `position` than at the one before
  /// it; the last stage where none is.
  int64_t first_changed(size_t position) const;

 private:
  int64_t stages_;
  std::vector<int64_t> nodes_;  // by path and stage: the setting's number
  std::vector<size_t> order_;
};

}  // namespace gatedpaths::detail
