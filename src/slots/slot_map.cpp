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

std::shared_ptr<torch::nn::Module> SlotMapImpl::clone(
    const std::optional<torch::Device>& device) const {
  auto copy = std::make_shared<SlotMapImpl>(*this);
  copy->module_ = module_.clone(device);
  copy->replace_module("module", copy->module_.ptr());
  return copy;
}

void SlotMapImpl::pretty_print(std::ostream& stream) const {
  stream << "gatedpaths::SlotMap(non_zero="
         << (non_zero_ == NonZero::kRefuse ? "kRefuse" : "kAllow") << ")";
}

void SlotMapImpl::clone_(
    torch::nn::Module& other, const std::optional<torch::Device>& device) {
  *this = dynamic_cast<const SlotMapImpl&>(*other.clone(device));
}

}  // namespace gatedpaths
