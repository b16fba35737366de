// SPDX-License-Identifier: MIT
// Which stage of a network each gate belongs to. Not installed.
#pragma once

#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/search/stage.hpp>

#include <c10/util/ArrayRef.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace gatedpaths::detail {

/// The stage of each gate of a space: the first that it may run in, so that
/// what the stages before it return does not depend on it.
///
/// At first only those are known that lie in a module among the stages. A run
/// of all stages tells the others: `start` before it, `ran` after each stage,
/// and `settle` at its end. Runs after that are watched in the same way, for as
/// long as some gate of the path has never been seen to run.
class StageGates {
 public:
  StageGates(const PathSpace& space, c10::ArrayRef<Stage> stages);

  /// Before the stages run for `path`, which is applied.
  void start(const Path& path);

  /// After stage `stage` has run. Throws where a gate ran in it that belongs to
  /// a later one.
  void ran(int64_t stage);

  /// After all have run for `path`. Throws where a gate ran other branches than
  /// the path says.
  void check(const Path& path) const;

  /// Gives the gates that have no stage yet that of the gate around them, or
  /// the first.
  void settle();

  /// The stage of a gate, once they are settled.
  int64_t of(int64_t gate) const { return *stages_[static_cast<size_t>(gate)]; }

 private:
  const PathSpace& space_;
  std::vector<std::optional<int64_t>> stages_;  // by gate
  std::vector<bool> seen_;                      // by gate: to run
  std::vector<int64_t> watched_;                // gates
};

}  // namespace gatedpaths::detail
