// SPDX-License-Identifier: MIT
#include "kept_activations.hpp"

#include <ATen/SequenceNumber.h>
#include <torch/csrc/autograd/function.h>

#include <algorithm>
#include <optional>
#include <type_traits>

namespace gatedpaths::detail {
namespace {

// A `shared_ptr`, and in newer versions of LibTorch an `intrusive_ptr`.
using GraphNode = std::decay_t<decltype(at::Tensor().grad_fn())>;

std::vector<GraphNode> nodes_under(std::vector<GraphNode> open) {
  std::vector<GraphNode> nodes;
  std::unordered_set<const torch::autograd::Node*> seen;
  while (!open.empty()) {
    const GraphNode node = std::move(open.back());
    open.pop_back();
    if (node == nullptr || !seen.insert(node.get()).second) {
      continue;
    }
    for (const auto& edge : node->next_edges()) {
      open.push_back(edge.function);
    }
    nodes.push_back(node);
  }
  return nodes;
}

}  // namespace

KeptActivations::KeptActivations(PathMeter& meter) : PlaceWatch(meter) {
  sections_.emplace_back(at::sequence_number::peek(), kOutsideOfGates);
}

void KeptActivations::leave_out(const at::Tensor& tensor) {
  if (tensor.defined() && tensor.has_storage()) {
    left_out_.insert(tensor.storage().unsafeGetStorageImpl());
  }
}

void KeptActivations::before(
    const c10::OperatorHandle& /*op*/, Values /*arguments*/) {}

void KeptActivations::after(const c10::OperatorHandle& /*op*/, Values results) {
  if (is_paused()) {
    return;
  }
  for (const c10::IValue& value : results) {
    if (value.isTensor()) {
      add(value.toTensor());
    } else if (value.isTensorList()) {
      for (const at::Tensor& tensor : value.toTensorVector()) {
        add(tensor);
      }
    }
  }
}

void KeptActivations::after_change() noexcept {
  sections_.emplace_back(at::sequence_number::peek(), place());
}

void KeptActivations::add(const at::Tensor& tensor) {
  if (!tensor.defined() || !tensor.has_storage()) {
    return;
  }
  const auto& storage = tensor.storage();
  const void* memory = storage.unsafeGetStorageImpl();
  if (left_out_.contains(memory)) {
    return;
  }
  Made made{
      storage.getWeakStorageImpl(),
      static_cast<int64_t>(storage.nbytes()),
      place()};
  const auto [known, is_new] = place_in_made_.try_emplace(memory, made_.size());
  if (is_new) {
    made_.push_back(std::move(made));
    return;
  }
  Made& before = made_[known->second];
  if (before.memory.expired()) {
    before = std::move(made);  // another one at the same address
  } else {
    before.bytes = std::max(before.bytes, made.bytes);  // resized
  }
}

GatePlace KeptActivations::place_of_node(uint64_t sequence_number) const {
  const auto after = std::upper_bound(
      sections_.begin(),
      sections_.end(),
      sequence_number,
      [](uint64_t number, const auto& section) {
        return number < section.first;
      });
  return after == sections_.begin() ? kOutsideOfGates
                                    : std::prev(after)->second;
}

void KeptActivations::count(
    std::vector<at::Tensor> outputs, PartTallies& tallies) {
  std::vector<GraphNode> roots;
  for (const at::Tensor& output : outputs) {
    if (output.defined()) {
      roots.push_back(output.grad_fn());
    }
  }
  outputs.clear();
  const auto drop_gone = [&](std::optional<GatePlace> keeper) {
    std::erase_if(made_, [&](const Made& made) {
      if (!made.memory.expired()) {
        return false;
      }
      if (keeper) {
        tallies[*keeper][4] += made.bytes;
      }
      return true;
    });
  };
  drop_gone(std::nullopt);  // what nothing keeps
  auto nodes = nodes_under(std::move(roots));
  std::sort(nodes.begin(), nodes.end(), [](const auto& a, const auto& b) {
    return a->sequence_nr() > b->sequence_nr();
  });
  // From the last section to the first: what goes with a section's nodes was
  // kept by these and by none before.
  std::optional<GatePlace> keeper;
  for (const auto& node : nodes) {
    const GatePlace place = place_of_node(node->sequence_nr());
    if (keeper && *keeper != place) {
      drop_gone(keeper);
    }
    keeper = place;
    node->release_variables();
  }
  drop_gone(keeper);
  // What a function of a user keeps by itself goes with its node.
  std::vector<Made> left = std::move(made_);
  made_.clear();
  nodes.clear();
  for (const Made& made : left) {
    if (made.memory.expired()) {
      tallies[made.place][4] += made.bytes;
    }
  }
}

}  // namespace gatedpaths::detail
