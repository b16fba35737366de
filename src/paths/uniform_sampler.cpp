// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/stream_seed.hpp>
#include <gatedpaths/paths/uniform_sampler.hpp>

#include "draw_path.hpp"

#include <utility>

namespace gatedpaths {

UniformSampler::UniformSampler(
    std::shared_ptr<const SpaceLayout> layout, uint64_t seed)
    : Sampler(std::move(layout), seed) {
  set_source("UniformSampler");
}

Path UniformSampler::at(uint64_t step) const {
  return detail::draw_uniform_path(
      layout(), stream_seed(seed(), "UniformSampler"), step);
}

}  // namespace gatedpaths
