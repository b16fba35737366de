// SPDX-License-Identifier: MIT
#include <gatedpaths/slots/slot_consumer.hpp>

#include <c10/util/Exception.h>

#include <algorithm>
#include <functional>
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

void SlotConsumer::keep_slots(c10::IntArrayRef kept) {
  TORCH_CHECK_VALUE(
      std::adjacent_find(kept.begin(), kept.end(), std::greater_equal<>()) ==
          kept.end(),
      "SlotConsumer::keep_slots: expected ascending slots, got ",
      kept);
  TORCH_CHECK_INDEX(
      kept.empty() || (kept.front() >= 0 && kept.back() < num_slots()),
      "SlotConsumer::keep_slots: expected slots in [0, ",
      num_slots(),
      "), got ",
      kept);
  if (static_cast<int64_t>(kept.size()) < num_slots()) {
    drop_slots(kept);
    used_.clear();
    is_used_.clear();
  }
}

void SlotConsumer::drop_slots(c10::IntArrayRef /*kept*/) {
  TORCH_CHECK_NOT_IMPLEMENTED(
      false,
      "SlotConsumer::keep_slots: expected a class that overrides drop_slots, "
      "got one that does not, whose slots cannot be dropped");
}

void SlotConsumer::remember_taken(
    const std::shared_ptr<detail::BranchList>& branches) {
  std::erase_if(taken_, [](const auto& gate) { return gate.expired(); });
  if (!took_from(branches)) {
    taken_.push_back(branches);
  }
  last_taken_ = branches;
}

bool SlotConsumer::took_from(
    const std::shared_ptr<detail::BranchList>& branches) const {
  return std::any_of(taken_.begin(), taken_.end(), [&](const auto& gate) {
    return gate.lock() == branches;
  });
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
