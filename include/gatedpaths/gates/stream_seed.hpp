// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <cstdint>
#include <string_view>

namespace gatedpaths {

/// The seed of one of several streams that a single seed stands for: another
/// one for each name, and for each seed, that has nothing to do with the seed
/// itself. The same in every process and on every machine.
///
/// Whatever draws in this library draws from `stream_seed(seed, kind)`, the
/// kind being its class's name: a `UniformSampler`, a `StochasticDepth` and a
/// `GumbelEstimator` of one seed have nothing in common. What is of one kind
/// and one seed draws the same. For the modules of a network `seed_draws` gives
/// each a seed of its own, by this function; for the rest use it yourself, and
/// again for what has two names.
///
/// Example:
/// ```
/// gatedpaths::UniformSampler teacher_paths(
///     teacher_space, gatedpaths::stream_seed(seed, "teacher"));
/// gatedpaths::UniformSampler student_paths(
///     student_space, gatedpaths::stream_seed(seed, "student"));
/// ```
GATEDPATHS_EXPORT uint64_t
stream_seed(uint64_t seed, std::string_view name) noexcept;

}  // namespace gatedpaths
