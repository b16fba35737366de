// SPDX-License-Identifier: MIT
#include "narrowing.hpp"

#include <gatedpaths/gates/branched_module.hpp>
#include <gatedpaths/gates/concat_gate.hpp>

#include "../branches/hollow.hpp"
#include "../gates/gate_walk.hpp"
#include "../text/text.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace gatedpaths::detail {
namespace {

using OpenOfGate = std::unordered_map<const GatedModule*, std::vector<int64_t>>;

// What a walk over a network finds, each once.
struct FoundParts {
  template <class Part>
  struct Named {
    std::string name;
    torch::nn::Module* module;
    Part* part;
  };
  std::vector<Named<GatedModule>> gates;
  std::vector<Named<SlotConsumer>> layers;
};

template <class Part>
void add_found(
    const WalkedModule& at, std::vector<FoundParts::Named<Part>>& found) {
  if (auto* part = dynamic_cast<Part*>(&at.module)) {
    found.push_back({at.name.empty() ? "." : at.name, &at.module, part});
  }
}

// The parts that are left where the gates in `open` have these branches only.
FoundParts find_parts(torch::nn::Module& net, const OpenOfGate& open) {
  FoundParts found;
  std::unordered_set<const torch::nn::Module*> known;
  // A module below one gate and apart is walked as both.
  std::unordered_map<const torch::nn::Module*, std::unordered_set<const void*>>
      walked;
  walk_gates(
      net,
      /*place=*/true,
      [&](const WalkedModule& at, bool) {
        if (!walked[&at.module].insert(at.around).second) {
          return false;
        }
        if (known.insert(&at.module).second) {
          add_found(at, found.gates);
          add_found(at, found.layers);
        }
        return true;
      },
      [&](const GatedModule& gate, int64_t branch, bool) {
        const auto set = open.find(&gate);
        const bool goes_in =
            set == open.end() ||
            std::binary_search(set->second.begin(), set->second.end(), branch);
        return goes_in ? std::optional(true) : std::nullopt;
      });
  return found;
}

OpenOfGate open_of_gates(
    std::string_view function,
    torch::nn::Module& net,
    const PathSpace& space,
    const Path& path) {
  TORCH_CHECK_VALUE(
      path.space_hash() == space.hash(),
      fmt::format(
          "{}: expected a path of the network's space {:#018x}, got one of "
          "space {:#018x}",
          function,
          space.hash(),
          path.space_hash()));
  std::unordered_map<const GatedModule*, std::string> in_net;
  for (const auto& gate : find_parts(net, {}).gates) {
    in_net.emplace(gate.part, gate.name);
  }
  OpenOfGate open;
  for (const auto& [number, branches] : path) {
    const auto* gate = &space.gate(number);
    TORCH_CHECK_VALUE(
        in_net.contains(gate),
        fmt::format(
            "{}: expected a space of this network, got one whose gate '{}' is "
            "not in it",
            function,
            space.gate_name(number)));
    open.emplace(gate, branches.vec());
  }
  return open;
}

using NamedGate = FoundParts::Named<GatedModule>;
using NamedLayer = FoundParts::Named<SlotConsumer>;

std::vector<int64_t> kept_of(const NamedGate& gate, const OpenOfGate& open) {
  const auto set = open.find(gate.part);
  if (set != open.end()) {
    return set->second;
  }
  std::vector<int64_t> all(static_cast<size_t>(gate.part->num_branches()));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

// The first one that keeps others than the first one of all does.
const NamedGate* find_unlike(
    const std::vector<const NamedGate*>& gates, const OpenOfGate& open) {
  const auto unlike =
      std::find_if(gates.begin(), gates.end(), [&](const NamedGate* gate) {
        return kept_of(*gate, open) != kept_of(*gates.front(), open);
      });
  return unlike == gates.end() ? nullptr : *unlike;
}

// The slots that are left of a layer: as the branches of the gates that it was
// seen to take from, or else of all that it might take from.
std::vector<int64_t> kept_of_layer(
    std::string_view function,
    const NamedLayer& layer,
    const std::vector<NamedGate>& gates,
    const OpenOfGate& open) {
  std::vector<const NamedGate*> seen;
  std::vector<const NamedGate*> possible;
  std::vector<std::string> names;
  for (const auto& gate : gates) {
    const auto* branched = dynamic_cast<const BranchedModule*>(gate.part);
    if (branched != nullptr && branched->feeds(*layer.part)) {
      seen.push_back(&gate);
    }
    if (dynamic_cast<const ConcatGateBase*>(gate.part) != nullptr &&
        gate.part->num_branches() == layer.part->num_slots()) {
      possible.push_back(&gate);
      names.push_back(gate.name);
    }
  }
  if (seen.empty()) {
    TORCH_CHECK_VALUE(
        !possible.empty() && find_unlike(possible, open) == nullptr,
        fmt::format(
            "{}: expected to know whose slots '{}' takes, got a layer of {} "
            "slots that has taken none of this network yet, and {} gates of as "
            "many branches ({}); run the network once, on any path",
            function,
            layer.name,
            layer.part->num_slots(),
            possible.size(),
            quoted(names)));
    return kept_of(*possible.front(), open);
  }
  auto kept = kept_of(*seen.front(), open);
  if (const auto* unlike = find_unlike(seen, open)) {
    TORCH_CHECK_VALUE(
        false,
        fmt::format(
            "{}: expected gates with the same open branches before '{}', "
            "which takes the slots of '{}' and '{}', got ({}) and ({})",
            function,
            layer.name,
            seen.front()->name,
            unlike->name,
            numbers(kept),
            numbers(kept_of(*unlike, open))));
  }
  return kept;
}

// The owners of what `step` drops, which may be held by nothing else.
template <class Step>
void add_dropped(
    const Step& step,
    std::vector<std::shared_ptr<const torch::nn::Module>>& dropped) {
  for (int64_t i = 0; i < step.part->num_branches(); ++i) {
    if (!std::binary_search(step.kept.begin(), step.kept.end(), i)) {
      auto owner = step.part->branch_module(i).weak_from_this().lock();
      if (owner != nullptr) {
        dropped.push_back(std::move(owner));
      }
    }
  }
}

}  // namespace

Narrowing Narrowing::of(
    std::string_view function,
    torch::nn::Module& net,
    const PathSpace& space,
    const Path& path) {
  const auto open = open_of_gates(function, net, space, path);
  const auto parts = find_parts(net, open);
  Narrowing narrowing;
  for (const auto& gate : parts.gates) {
    if (open.contains(gate.part)) {
      gate.part->check_kept(open.at(gate.part));
      narrowing.gates_.push_back({gate.module, gate.part, open.at(gate.part)});
    }
  }
  for (const auto& layer : parts.layers) {
    narrowing.layers_.push_back(
        {layer.module,
         layer.part,
         kept_of_layer(function, layer, parts.gates, open)});
  }
  return narrowing;
}

void Narrowing::move_to(
    c10::function_ref<torch::nn::Module*(const torch::nn::Module&)> copy_of) {
  const auto move = [&](auto& step) {
    step.module = copy_of(*step.module);
    step.part = dynamic_cast<decltype(step.part)>(step.module);
  };
  std::for_each(gates_.begin(), gates_.end(), move);
  std::for_each(layers_.begin(), layers_.end(), move);
}

void Narrowing::run(torch::nn::Module& root) const {
  std::vector<std::shared_ptr<const torch::nn::Module>> dropped;
  for (const auto& step : gates_) {
    add_dropped(step, dropped);
  }
  for (const auto& step : layers_) {
    step.part->keep_slots(step.kept);
  }
  for (const auto& step : gates_) {
    step.part->keep_only(step.kept);
  }
  const auto kept = tensors_of(root);
  for (const auto& module : dropped) {
    make_hollow(const_cast<torch::nn::Module&>(*module), kept);  // NOLINT
  }
}

}  // namespace gatedpaths::detail
