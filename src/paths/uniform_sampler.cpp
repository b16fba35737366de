// SPDX-License-Identifier: MIT
#include <gatedpaths/detail/counter_random.hpp>
#include <gatedpaths/detail/draw_open_set.hpp>
#include <gatedpaths/paths/uniform_sampler.hpp>

#include <utility>

namespace gatedpaths {

UniformSampler::UniformSampler(const PathSpace& space, uint64_t seed)
    : Sampler(space.layout(), seed) {}

UniformSampler::UniformSampler(
    std::shared_ptr<const SpaceLayout> layout, uint64_t seed)
    : Sampler(std::move(layout), seed) {}

Path UniformSampler::at(uint64_t step) const {
  return layout().make_path([&](int64_t number, std::vector<int64_t>& open) {
    const GateLayout& gate = layout().gates()[static_cast<size_t>(number)];
    detail::CounterRandom random(seed(), step, static_cast<uint64_t>(number));
    detail::draw_open_set(
        random,
        static_cast<int64_t>(gate.branch_names.size()),
        gate.min_open,
        gate.max_open,
        open);
  });
}

}  // namespace gatedpaths
