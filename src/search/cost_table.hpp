// SPDX-License-Identifier: MIT
// What a `CostModel` knows. Not installed.
#pragma once

#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/space_layout.hpp>
#include <gatedpaths/search/path_cost.hpp>

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace gatedpaths::detail {

struct CostTable {
  using Flags = std::array<bool, kCostKinds.size()>;

  PathCost outside;
  std::vector<std::vector<PathCost>> branches;  // by gate
  Flags has{};
  Flags is_additive{};
  std::string why_not_additive;
  std::map<std::string, int64_t> unknown;
  std::string convention;
  std::string device;

  // Whole paths, of which those kinds count that are not additive.
  mutable std::mutex mutex;
  mutable std::unordered_map<Path, PathCost> by_path;

  bool all_additive() const;

  /// Throws, in the name of `function`, where it is none of that space.
  void check(std::string_view function, const SpaceLayout& layout) const;
};

/// The costs of `kind` in a sum, to be written to.
void set_cost(PathCost& cost, CostKind kind, const PathCost& from);

}  // namespace gatedpaths::detail
