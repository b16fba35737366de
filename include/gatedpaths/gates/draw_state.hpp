// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace gatedpaths {

/// Where something that draws stands in its random stream: a sampler, an
/// estimator, a gate that draws by itself, a head.
///
/// The n-th draw depends on `seed` and `step` alone, so these two integers are
/// all that has to be saved to go on exactly.
struct DrawState {
  uint64_t seed = 0;  ///< Names the stream.
  uint64_t step = 0;  ///< How many draws were made; the number of the next one.

  bool operator==(const DrawState&) const = default;
};

}  // namespace gatedpaths
