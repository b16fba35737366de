// SPDX-License-Identifier: MIT
#include "fresh_seed.hpp"

#include <atomic>

namespace gatedpaths::detail {

uint64_t fresh_seed() noexcept {
  static std::atomic<uint64_t> next{uint64_t{1} << 63U};
  return next.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace gatedpaths::detail
