// SPDX-License-Identifier: MIT
// Draws and changes paths for search strategies. Not installed.
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/space_layout.hpp>
#include <gatedpaths/search/counted_space.hpp>

#include "../random/counter_random.hpp"

#include <c10/util/FunctionRef.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace gatedpaths::detail {

/// What the random numbers of a step are for, each with a stream of its own.
enum class Lane : uint64_t {
  kChoice,    ///< A strategy's own choices.
  kDraw,      ///< Paths that are drawn.
  kMutation,  ///< Paths that are changed.
};

class GATEDPATHS_EXPORT PathProposer {
 public:
  /// Whether a path may be proposed.
  using Accepts = c10::function_ref<bool(const Path&)>;

  PathProposer(
      std::shared_ptr<const SpaceLayout> layout,
      std::optional<CountedSpace> within);

  /// See `SearchStrategy::draw_path`. `known`: how many paths `accepts` refuses
  /// at most, of those within the budget.
  std::optional<Path> draw(
      uint64_t stream, uint64_t step, uint64_t known, Accepts accepts) const;

  /// A path that sets one gate otherwise than `parent`: a gate drawn uniformly
  /// from the reached ones that have a choice, with a set drawn uniformly from
  /// its others. Gates that are reached anew draw uniformly. `parent` itself
  /// where no gate has a choice. It may be outside of the budget.
  Path mutate(const Path& parent, CounterRandom& random) const;

  /// Calls `visit`, as long as it returns true, for each path that sets one
  /// gate otherwise than `parent`. Gates that are reached anew have their first
  /// sets. They may be outside of the budget.
  void visit_neighbours(
      const Path& parent, c10::function_ref<bool(Path)> visit) const;

  /// The path after this one in an order of all paths, the budget left aside;
  /// the first one after the last.
  Path next(const Path& path) const;

  /// A set of the gate, drawn uniformly.
  void draw_set(
      int64_t gate, CounterRandom& random, std::vector<int64_t>& open) const;

  /// Whether the gate allows more than one set.
  bool can_change(int64_t gate) const;

 private:
  Path draw_any(CounterRandom& random) const;
  std::optional<Path> walk_ranks(
      uint64_t rank, uint64_t known, Accepts accepts) const;
  Path replace(
      const Path& parent,
      int64_t changed,
      const std::vector<int64_t>& set) const;

  std::shared_ptr<const SpaceLayout> layout_;
  std::optional<CountedSpace> within_;
  std::optional<uint64_t> size_;  // none above 64 bits, or where not counted
};

/// Goes on to the next set of up to `max_open` of `branches`: by size, and
/// within a size in lexicographic order. False after the last.
bool next_open_set(
    int64_t branches, int64_t max_open, std::vector<int64_t>& open);

}  // namespace gatedpaths::detail
