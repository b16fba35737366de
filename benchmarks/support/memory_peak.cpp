// SPDX-License-Identifier: MIT
#include "support/memory_peak.hpp"

#include <c10/core/Allocator.h>
#include <c10/util/Exception.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <unordered_map>

namespace bench {
namespace {

/// What a profiler would install to be told of every allocation.
class MemoryPeak : public c10::MemoryReportingInfoBase {
 public:
  // `bytes` is negative where memory is freed. LibTorch's own record of sizes
  // is not to be relied on for what was allocated before, so blocks are told
  // apart.
  void reportMemoryUsage(
      void* pointer,
      std::int64_t bytes,
      std::size_t /*allocated*/,
      std::size_t /*reserved*/,
      c10::Device device) override {
    if (!device.is_cpu()) {
      return;
    }
    ++reports_;
    if (bytes >= 0) {
      blocks_[pointer] = bytes;
      held_ += bytes;
      peak_ = std::max(peak_, held_);
    } else if (const auto block = blocks_.find(pointer);
               block != blocks_.end()) {
      held_ -= block->second;
      blocks_.erase(block);
    }
  }

  bool memoryProfilingEnabled() const override { return true; }

  std::int64_t peak() const { return peak_; }
  std::int64_t reports() const { return reports_; }

 private:
  std::unordered_map<void*, std::int64_t> blocks_;
  std::int64_t held_ = 0;
  std::int64_t peak_ = 0;
  std::int64_t reports_ = 0;
};

}  // namespace

std::int64_t peak_bytes(const std::function<void()>& work) {
  const auto reporter = std::make_shared<MemoryPeak>();
  {
    const c10::DebugInfoGuard guard(
        c10::DebugInfoKind::PROFILER_STATE, reporter);
    work();
  }
  TORCH_CHECK(
      reporter->reports() > 0,
      "peak_bytes: expected reports of LibTorch's allocator, got none");
  return reporter->peak();
}

}  // namespace bench
