// SPDX-License-Identifier: MIT
// What the flags --sampler and --estimator name.
#pragma once

#include <gatedpaths/learning/path_estimator.hpp>
#include <gatedpaths/learning/path_logits.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/paths/sampler.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace nas_bench_macro {

/// The names, the default first.
const std::vector<std::string>& sampler_names();
const std::vector<std::string>& estimator_names();

/// Throws: `c10::ValueError` for another name.
std::unique_ptr<gatedpaths::Sampler> make_sampler(
    const std::string& name,
    const gatedpaths::PathSpace& space,
    std::uint64_t seed);

/// Throws: `c10::ValueError` for another name.
std::unique_ptr<gatedpaths::PathEstimator> make_estimator(
    const std::string& name,
    const gatedpaths::PathLogits& logits,
    const gatedpaths::PathSpace& space,
    std::uint64_t seed);

}  // namespace nas_bench_macro
