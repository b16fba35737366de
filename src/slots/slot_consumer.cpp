// SPDX-License-Identifier: MIT
#include <gatedpaths/slots/slot_consumer.hpp>

#include <numeric>
#include <utility>

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

struct SlotConsumer::KeptUse : detail::KeptState {
  explicit KeptUse(SlotConsumer& owner) : layer(owner), used(owner.used_) {}

  ~KeptUse() override {
    layer.forget_used();
    for (const int64_t slot : used) {
      layer.is_used_[static_cast<size_t>(slot)] = true;
    }
    layer.used_ = std::move(used);
  }

  SlotConsumer& layer;
  std::vector<int64_t> used;
};

std::unique_ptr<detail::KeptState> SlotConsumer::keep() {
  return std::make_unique<KeptUse>(*this);
}

void SlotConsumer::use_all() {
  std::vector<int64_t> all(static_cast<size_t>(num_slots()));
  std::iota(all.begin(), all.end(), 0);
  use(all);
}

}  // namespace gatedpaths
