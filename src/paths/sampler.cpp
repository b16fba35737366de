// SPDX-License-Identifier: MIT
#include <gatedpaths/paths/sampler.hpp>

#include <c10/util/Exception.h>

#include <utility>

namespace gatedpaths {

Path Sampler::next() {
  Path path = at(state_.step);
  ++state_.step;
  return path;
}

Sampler::Sampler(std::shared_ptr<const SpaceLayout> layout, uint64_t seed)
    : layout_(std::move(layout)), state_{seed, 0} {
  TORCH_CHECK_VALUE(
      layout_ != nullptr, "Sampler: expected a space, got a null pointer");
}

}  // namespace gatedpaths
