// SPDX-License-Identifier: MIT
// What several samplers draw in the same way. Not installed.
#pragma once

#include <gatedpaths/paths/gate_values.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/space_layout.hpp>

#include "../random/draw_conditional_set.hpp"

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace gatedpaths::detail {

/// A path whose gates each draw uniformly, each from the stream of its number.
Path draw_uniform_path(const SpaceLayout& layout, uint64_t seed, uint64_t step);

/// A path whose gates draw from `sets`, each from the stream of its number.
Path draw_conditional_path(
    const SpaceLayout& layout,
    const std::vector<ConditionalSets>& sets,
    uint64_t seed,
    uint64_t step);

/// How errors speak of the numbers that a sampler takes by gate and branch.
struct NumberRule {
  std::string_view sampler;  ///< e.g. "WeightedSampler"
  std::string_view noun;     ///< e.g. "weights"
  std::string_view range;    ///< e.g. "finite weights >= 0"
  double highest;            ///< They are in [0, highest].
};

/// One number for each branch of each gate of the space, `otherwise` for the
/// gates that `given` does not name.
std::vector<std::vector<double>> numbers_by_gate(
    const NumberRule& rule,
    const SpaceLayout& layout,
    const GateValues& given,
    double otherwise);

/// A hash of such numbers, for `Sampler::set_source`.
uint64_t hash_of_numbers(const std::vector<std::vector<double>>& numbers);

}  // namespace gatedpaths::detail
