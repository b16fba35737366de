// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/space_layout.hpp>
#include <gatedpaths/search/search_options.hpp>
#include <gatedpaths/search/search_strategy.hpp>

#include <c10/util/ArrayRef.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace gatedpaths {

/// Hill climbing with restarts (White, Nolen and Savani, "Exploring the Loss
/// Landscape in Neural Architecture Search", UAI 2021, arXiv 2005.02960): asks
/// for the neighbours of the best path of a climb, in random order, and moves
/// to the first that is better.
///
/// A climb begins at a random path, drawn as by `RandomSearch`: the first one
/// that has a value is its place. Each result that is better than that of the
/// place is the place from then on, wherever it comes from. A neighbour sets
/// one gate otherwise, as a mutation of `RegularizedEvolution` does; 16 are
/// drawn, the first that is new and keeps the budget is asked for. Where none
/// is, the neighbours are gone through in order (up to 4096 of them, with the
/// first sets of gates that are reached anew), and one is drawn from those that
/// are new. Where there is none either, the climb has ended, and the next one
/// begins.
///
/// Asks before the first result of a climb are random paths, too.
///
/// Example:
/// ```
/// gatedpaths::LocalSearch strategy(space, /*seed=*/7);
/// ```
class GATEDPATHS_EXPORT LocalSearch : public SearchStrategy {
 public:
  /// Searches a `PathSpace`, or its `layout()` without a network.
  ///
  /// Throws: `c10::ValueError` for a null `layout`, not one objective, or a
  /// budget of another space.
  LocalSearch(
      std::shared_ptr<const SpaceLayout> layout,
      uint64_t seed,
      SearchOptions options = {});

 protected:
  std::optional<Path> propose(uint64_t step) override;
  void learn(size_t result) override;
  void forget() override { place_.reset(); }
  std::vector<int64_t> numbers() const override;
  bool are_numbers(
      c10::IntArrayRef saved, int64_t results, int64_t paths) const override;
  void set_numbers(c10::IntArrayRef saved) override;

 private:
  std::optional<Path> new_neighbour(uint64_t step) const;

  std::optional<size_t> place_;  // a result
};

}  // namespace gatedpaths
