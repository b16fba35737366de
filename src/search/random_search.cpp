// SPDX-License-Identifier: MIT
#include <gatedpaths/search/random_search.hpp>

#include <utility>

namespace gatedpaths {

RandomSearch::RandomSearch(
    std::shared_ptr<const SpaceLayout> layout,
    uint64_t seed,
    SearchOptions options)
    : SearchStrategy(
          "RandomSearch", std::move(layout), seed, std::move(options)) {}

std::optional<Path> RandomSearch::propose(uint64_t step) {
  return draw_path(step);
}

}  // namespace gatedpaths
