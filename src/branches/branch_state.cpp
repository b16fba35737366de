// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/branch_state.hpp>

#include <gatedpaths/branches/detail/hash_mix.hpp>

#include <ATen/core/Tensor.h>

#include <algorithm>

namespace gatedpaths::detail {
namespace {

uint64_t look_of(const at::Tensor& weight) {
  auto hash = static_cast<uint64_t>(weight.scalar_type());
  hash = hash_mix(hash, static_cast<uint64_t>(weight.device().type()));
  hash = hash_mix(hash, static_cast<uint64_t>(weight.device().index()));
  hash = hash_mix(hash, static_cast<uint64_t>(weight.suggest_memory_format()));
  for (const int64_t size : weight.sizes()) {
    hash = hash_mix(hash, static_cast<uint64_t>(size));
  }
  return hash;
}

}  // namespace

BranchState& BranchState::operator=(const BranchState& other) {
  if (this != &other) {
    *this = BranchState();
  }
  return *this;
}

uint64_t BranchState::of(const torch::nn::Module& module) {
  if (found_) {
    if (const auto state = try_of(module)) {
      return *state;
    }
  }
  find(module);
  return *try_of(module);
}

std::optional<uint64_t> BranchState::try_of(
    const torch::nn::Module& module) const {
  uint64_t hash = module.is_training() ? 1 : 0;
  if (weight_) {
    auto weight = weight_->lock();
    if (!weight) {
      return std::nullopt;
    }
    hash = hash_mix(hash, look_of(at::Tensor(std::move(weight))));
  }
  const auto add = [&hash](const ShapeState& part) {
    hash = hash_mix(hash, static_cast<uint64_t>(part.shape_state()));
  };
  if (own_ != nullptr) {
    add(*own_);
  }
  for (const auto& part : parts_) {
    const auto owner = part.owner.lock();
    if (owner == nullptr) {
      return std::nullopt;
    }
    add(*part.state);
  }
  return hash;
}

void BranchState::find(const torch::nn::Module& module) {
  *this = BranchState();
  found_ = true;
  own_ = dynamic_cast<const ShapeState*>(&module);
  find_parts(module);
  const auto parameters = module.parameters();
  const auto first_of = [&](int64_t dims) {
    return std::find_if(
        parameters.begin(), parameters.end(), [dims](const at::Tensor& one) {
          return one.defined() && one.dim() >= dims;
        });
  };
  auto chosen = first_of(4);
  if (chosen == parameters.end()) {
    chosen = first_of(0);
  }
  if (chosen != parameters.end()) {
    weight_.emplace(chosen->getIntrusivePtr());
  }
}

void BranchState::find_parts(const torch::nn::Module& module) {
  for (const auto& child : module.children()) {
    if (const auto* state = dynamic_cast<const ShapeState*>(child.get())) {
      parts_.push_back({child, state});
    }
    find_parts(*child);
  }
}

}  // namespace gatedpaths::detail
