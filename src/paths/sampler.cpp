// SPDX-License-Identifier: MIT
#include <gatedpaths/paths/sampler.hpp>

#include "../text/fnv1a.hpp"

#include <c10/util/Exception.h>

#include <utility>

namespace gatedpaths {

Path Sampler::next() {
  DrawState after = state_;
  Path path = at(after.take_step());
  state_ = after;
  return path;
}

void Sampler::set_state(const DrawState& state) {
  state_.check_source("Sampler::set_state", state);
  set_step(state.step);
  state_.seed = state.seed;
}

void Sampler::set_source(std::string_view kind, uint64_t parameters) {
  detail::Fnv1a hash;
  state_.source =
      hash.add(kind).add(layout_->hash()).add(parameters).value() | 1U;
}

Sampler::Sampler(std::shared_ptr<const SpaceLayout> layout, uint64_t seed)
    : layout_(std::move(layout)), state_{.seed = seed} {
  TORCH_CHECK_VALUE(
      layout_ != nullptr, "Sampler: expected a space, got a null pointer");
}

}  // namespace gatedpaths
