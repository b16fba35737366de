// SPDX-License-Identifier: MIT
#include <gatedpaths/slots/slot_map.hpp>

#include <c10/util/Exception.h>

#include <ostream>
#include <utility>

namespace gatedpaths {

SlotMapImpl::SlotMapImpl(AnyBranch module, NonZero non_zero)
    : module_(std::move(module)), non_zero_(non_zero) {
  TORCH_CHECK_VALUE(module_, "SlotMap: expected a module, got an empty holder");
  register_module("module", module_.ptr());
}

Slots SlotMapImpl::forward(const Slots& slots) {
  const bool try_now = non_zero_ == NonZero::kRefuse && !tried_;
  Slots mapped =
      slots.map(module_, try_now ? NonZero::kRefuse : NonZero::kAllow);
  tried_ = tried_ || !slots.values().empty();
  return mapped;
}

void SlotMapImpl::copy_parts(const std::optional<torch::Device>& device) {
  module_ = module_.clone(device);
  replace_module("module", module_.ptr());
}

void SlotMapImpl::pretty_print(std::ostream& stream) const {
  stream << "gatedpaths::SlotMap(non_zero="
         << (non_zero_ == NonZero::kRefuse ? "kRefuse" : "kAllow") << ")";
}

}  // namespace gatedpaths
