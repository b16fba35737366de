// SPDX-License-Identifier: MIT
// The walk over a module tree that knows which children are branches. Not
// installed.
#pragma once

#include <gatedpaths/gates/gated_module.hpp>

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace gatedpaths::detail {

/// A module that a walk has come to.
struct WalkedModule {
  torch::nn::Module& module;
  const std::shared_ptr<torch::nn::Module>&
      owner;                ///< null where there is none
  const std::string& name;  ///< dotted; empty for the root
  /// The gate whose branches may lie below, as children of children; null where
  /// there is none. A module that is held twice may stand below one and apart.
  const GatedModule* around;
};

/// A gate, while the walk is outside of all its branches.
struct GateAround {
  explicit GateAround(const GatedModule& around) : gate(around) {
    for (int64_t i = 0; i < gate.num_branches(); ++i) {
      branches[&gate.branch_module(i)].push_back(i);
    }
  }

  const GatedModule& gate;
  // Looked up for each child: to ask the gate each time would be quadratic.
  std::unordered_map<const torch::nn::Module*, std::vector<int64_t>> branches;
};

template <class Place, class Visit, class Enter>
void walk_gates_from(
    const WalkedModule& at,
    Place place,
    const GateAround* around,
    Visit& visit,
    Enter& enter) {
  if (!visit(at, place)) {
    return;
  }
  std::optional<GateAround> own;
  if (const auto* gate = dynamic_cast<const GatedModule*>(&at.module)) {
    around = &own.emplace(*gate);
  }
  // By hand, since LibTorch's own walks throw for a module on the stack.
  for (const auto& child : at.module.named_children()) {
    if (child.value() == nullptr) {
      continue;
    }
    const std::string name =
        at.name.empty() ? child.key() : at.name + "." + child.key();
    if (around == nullptr || !around->branches.contains(child.value().get())) {
      const WalkedModule below{
          *child.value(),
          child.value(),
          name,
          around == nullptr ? nullptr : &around->gate};
      walk_gates_from(below, place, around, visit, enter);
      continue;
    }
    const WalkedModule below{*child.value(), child.value(), name, nullptr};
    for (const int64_t branch : around->branches.at(&below.module)) {
      if (const auto inside = enter(around->gate, branch, place)) {
        walk_gates_from(below, *inside, nullptr, visit, enter);
      }
    }
  }
}

/// Walks over the tree under `root`, depth first in registration order.
///
/// `place` says where the walk is, in terms of who walks. `visit(at, place)`
/// gets each module, may change the place of what is below it, and returns
/// whether to go on there. `enter(gate, branch, place)` gives the place within
/// a branch as an optional, empty for a branch to leave out; a module that is
/// several branches is walked as each. What a gate registers beside its
/// branches has the gate's own place.
template <class Place, class Visit, class Enter>
void walk_gates(
    torch::nn::Module& root, Place place, Visit visit, Enter enter) {
  const auto owner = root.weak_from_this().lock();
  const std::string name;
  walk_gates_from({root, owner, name, nullptr}, place, nullptr, visit, enter);
}

}  // namespace gatedpaths::detail
