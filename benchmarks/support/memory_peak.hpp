// SPDX-License-Identifier: MIT
// The most memory that LibTorch's CPU allocator held at once.
#pragma once

#include <cstdint>
#include <functional>

namespace bench {

/// Runs `work` and gives the most bytes that tensors which it made held at
/// once. Only this thread's tensors count, and not what oneDNN and the like
/// allocate by themselves.
std::int64_t peak_bytes(const std::function<void()>& work);

}  // namespace bench
