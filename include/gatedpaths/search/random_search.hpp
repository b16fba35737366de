// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/space_layout.hpp>
#include <gatedpaths/search/search_options.hpp>
#include <gatedpaths/search/search_strategy.hpp>

#include <cstdint>
#include <memory>
#include <optional>

namespace gatedpaths {

/// Asks for paths that are drawn uniformly from those within the budget that
/// were not asked for yet: what every other strategy has to beat.
///
/// Uniform over paths, as with `BudgetSampler`, not over the branches of each
/// gate; but in a space without a budget of more than 2^64 paths, or with a
/// gate of several places, as `UniformSampler` draws. Where most of a space was
/// asked for, so that 64 draws in a row are nothing new, it gives the next new
/// path in the order of the space: still all of them, each once.
///
/// Example:
/// ```
/// gatedpaths::RandomSearch strategy(space, /*seed=*/7);
/// for (const auto& path : strategy.ask(100)) {
///   strategy.tell(path, {accuracy_of(path)});
/// }
/// ```
class GATEDPATHS_EXPORT RandomSearch : public SearchStrategy {
 public:
  /// Searches a `PathSpace`, or its `layout()` without a network.
  ///
  /// Throws: `c10::ValueError` for a null `layout`, no objective, or a budget
  /// of another space.
  RandomSearch(
      std::shared_ptr<const SpaceLayout> layout,
      uint64_t seed,
      SearchOptions options = {});

 protected:
  std::optional<Path> propose(uint64_t step) override;
};

}  // namespace gatedpaths
