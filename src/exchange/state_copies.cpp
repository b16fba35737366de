// SPDX-License-Identifier: MIT
#include "state_copies.hpp"

#include "../branches/tensor_memory.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>

#include <fmt/format.h>

#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace gatedpaths::detail {
namespace {

// Why nothing can be copied into it; empty where it can.
std::string why_not_writable(const at::Tensor& target) {
  if (is_locked(target)) {
    return "an inference tensor, which is only written in inference mode";
  }
  if (is_expanded(target)) {
    return "an expanded one";
  }
  return {};
}

bool is_same_memory(const at::Tensor& a, const at::Tensor& b) {
  return a.is_same(b) ||
         (storage_of(a) != nullptr && storage_of(a) == storage_of(b) &&
          a.storage_offset() == b.storage_offset() && a.sizes() == b.sizes() &&
          a.strides() == b.strides() && a.scalar_type() == b.scalar_type());
}

// NaN is the value that NaN is.
bool has_same_values(const at::Tensor& a, const at::Tensor& b) {
  if (is_same_memory(a, b)) {
    return true;
  }
  if (a.scalar_type() != b.scalar_type() || a.device() != b.device()) {
    return has_same_values(
        a.to(at::kCPU, at::kDouble), b.to(at::kCPU, at::kDouble));
  }
  return at::equal(a, b) ||
         ((a == b) | ((a != a) & (b != b))).all().item<bool>();
}

}  // namespace

void StateCopies::add(
    std::string kind, std::string name, at::Tensor target, at::Tensor value) {
  items_.push_back(
      {std::move(kind), std::move(name), std::move(target), std::move(value)});
}

void StateCopies::check(StateDifference& difference) const {
  for (const Item& item : items_) {
    if (const auto reason = why_not_writable(item.target); !reason.empty()) {
      difference.unlike(
          item.kind, item.name, "a tensor that can be written", reason);
    }
    if (item.value.layout() != item.target.layout()) {
      difference.unlike(
          item.kind,
          item.name,
          c10::str(item.target.layout()),
          c10::str(item.value.layout()));
    }
    if (item.value.is_meta() && !item.target.is_meta()) {
      difference.unlike(
          item.kind, item.name, "values", "a meta tensor without any");
    }
  }
  if (difference.is_empty()) {
    check_ties(difference);
  }
}

void StateCopies::check_ties(StateDifference& difference) const {
  std::unordered_map<const void*, std::vector<const Item*>> by_storage;
  for (const Item& item : items_) {
    auto& others = by_storage[storage_of(item.target)];
    for (const Item* other : others) {
      if (is_same_memory(item.target, other->target)) {
        if (!has_same_values(item.value, other->value)) {
          difference.unlike(
              item.kind,
              item.name,
              fmt::format(
                  "the values of '{}', which is the same tensor in the "
                  "network",
                  other->name),
              "others");
        }
        break;
      }
    }
    others.push_back(&item);
  }
}

void StateCopies::copy() {
  const at::NoGradGuard no_grad;
  std::unordered_set<const void*> written;
  for (const Item& item : items_) {
    written.insert(storage_of(item.target));
  }
  for (Item& item : items_) {
    if (written.contains(storage_of(item.value)) &&
        !is_same_memory(item.target, item.value)) {
      item.value = item.value.clone();
    }
  }
  for (Item& item : items_) {
    item.target.copy_(item.value);
  }
}

}  // namespace gatedpaths::detail
