// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/space_layout.hpp>
#include <gatedpaths/search/search_strategy.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace bench {

/// A search that has begun.
struct Search {
  std::unique_ptr<gatedpaths::SearchStrategy> strategy;
  /// How long a net's full training is, which is one evaluation.
  std::int64_t full_length = 1;
  /// How long the path that was just asked for is to be trained.
  std::function<std::int64_t(const gatedpaths::Path&)> length;
};

/// A strategy of the library, with its default parameters.
struct StrategyKind {
  std::string name;
  std::string note;  ///< What to know of its curve; may be empty.
  std::string colour;
  std::function<Search(
      const std::shared_ptr<const gatedpaths::SpaceLayout>& layout,
      std::uint64_t seed)>
      start;
};

/// All six of them, `RandomSearch` first and `RegularizedEvolution` second.
const std::vector<StrategyKind>& strategy_kinds();

}  // namespace bench
