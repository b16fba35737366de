// SPDX-License-Identifier: MIT
#include <gatedpaths/paths/fixed_sampler.hpp>

#include "../text/fnv1a.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <utility>

namespace gatedpaths {

FixedSampler::FixedSampler(
    std::shared_ptr<const SpaceLayout> layout, std::vector<Path> paths)
    : Sampler(std::move(layout), /*seed=*/0), paths_(std::move(paths)) {
  TORCH_CHECK_VALUE(
      !paths_.empty(), "FixedSampler: expected at least one path, got none");
  const uint64_t space_hash = this->layout().hash();
  detail::Fnv1a hash;
  for (size_t i = 0; i < paths_.size(); ++i) {
    TORCH_CHECK_VALUE(
        paths_[i].space_hash() == space_hash,
        fmt::format(
            "FixedSampler: expected paths of space {:#018x}, got one of space "
            "{:#018x} at {}",
            space_hash,
            paths_[i].space_hash(),
            i));
    hash.add(paths_[i].hash());
  }
  set_source("FixedSampler", hash.value());
}

Path FixedSampler::at(uint64_t step) const {
  return paths_[step % paths_.size()];
}

}  // namespace gatedpaths
