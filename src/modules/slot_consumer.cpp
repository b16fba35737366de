// SPDX-License-Identifier: MIT
#include <gatedpaths/modules/slot_consumer.hpp>

#include <numeric>

namespace gatedpaths {

void SlotConsumer::forget_used() noexcept {
  for (const int64_t slot : used_) {
    is_used_[static_cast<size_t>(slot)] = false;
  }
  used_.clear();
}

void SlotConsumer::use(c10::IntArrayRef positions) {
  if (is_used_.empty()) {
    is_used_.resize(static_cast<size_t>(num_slots()));
  }
  for (const int64_t slot : positions) {
    if (!is_used_[static_cast<size_t>(slot)]) {
      is_used_[static_cast<size_t>(slot)] = true;
      used_.push_back(slot);
    }
  }
}

void SlotConsumer::use_all() {
  std::vector<int64_t> all(static_cast<size_t>(num_slots()));
  std::iota(all.begin(), all.end(), 0);
  use(all);
}

}  // namespace gatedpaths
