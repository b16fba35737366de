// SPDX-License-Identifier: MIT
#include <gatedpaths/paths/path_space.hpp>

#include "../gates/gate_walk.hpp"
#include "every_gate.hpp"

#include <c10/util/Exception.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace gatedpaths {
namespace {

using ModulePtr = std::shared_ptr<torch::nn::Module>;

constexpr int64_t kOutside = -1;

constexpr int64_t kLeftOut = -1;

struct Found {
  GatedModule* gate;
  ModulePtr owner;  // null for a root on the stack
  std::string name;
  std::set<GatePlace> places;
};

struct FoundGates {
  std::vector<Found> taken;
  bool left_out = false;  // any
};

FoundGates find_gates(torch::nn::Module& root, const GateFilter& takes) {
  FoundGates result;
  auto& found = result.taken;
  std::unordered_map<const GatedModule*, int64_t> number_of;
  std::set<std::tuple<const torch::nn::Module*, const GatedModule*, GatePlace>>
      seen;
  detail::walk_gates(
      root,
      GatePlace{kOutside, 0},
      [&](const detail::WalkedModule& at, const GatePlace& place) {
        if (!seen.emplace(&at.module, at.around, place).second) {
          return false;
        }
        auto* gate = dynamic_cast<GatedModule*>(&at.module);
        // One whose branches were all dropped has nothing left to set.
        if (gate != nullptr && gate->num_branches() > 0) {
          const auto number = static_cast<int64_t>(found.size());
          const auto [known, is_new] = number_of.try_emplace(gate, number);
          if (is_new) {
            const std::string name = at.name.empty() ? "." : at.name;
            if (takes(name, *gate)) {
              found.push_back({gate, at.owner, name, {}});
            } else {
              known->second = kLeftOut;
              result.left_out = true;
            }
          }
          if (known->second != kLeftOut) {
            found[static_cast<size_t>(known->second)].places.insert(place);
          }
        }
        return true;
      },
      [&](const GatedModule& gate, int64_t branch, const GatePlace& place) {
        const int64_t number = number_of.at(&gate);
        return std::optional(
            number == kLeftOut ? place : GatePlace{number, branch});
      });
  return result;
}

// What is reached in any case needs no other place.
void drop_needless_places(std::vector<Found>& gates) {
  for (Found& gate : gates) {
    if (gate.places.begin()->gate == kOutside) {
      gate.places.clear();
    }
  }
}

// The old numbers in their new order: as found, but each gate after those that
// it lies in. Only gates with several places can stand wrong.
std::vector<size_t> outer_first(const std::vector<Found>& gates) {
  std::vector<size_t> waits_for(gates.size());
  std::vector<std::vector<size_t>> inside(gates.size());
  std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;
  for (size_t i = 0; i < gates.size(); ++i) {
    waits_for[i] = gates[i].places.size();
    for (const GatePlace& place : gates[i].places) {
      inside[static_cast<size_t>(place.gate)].push_back(i);
    }
    if (waits_for[i] == 0) {
      ready.push(i);
    }
  }
  std::vector<size_t> order;
  while (!ready.empty()) {
    const size_t gate = ready.top();
    ready.pop();
    order.push_back(gate);
    for (const size_t inner : inside[gate]) {
      if (--waits_for[inner] == 0) {
        ready.push(inner);
      }
    }
  }
  TORCH_INTERNAL_ASSERT(order.size() == gates.size());
  return order;
}

GateLayout layout_of(
    const Found& found, const std::vector<size_t>& new_number) {
  const GatedModule& gate = *found.gate;
  GateLayout layout{
      found.name, gate.branch_names(), gate.min_open(), gate.max_open(), {}};
  for (const GatePlace& place : found.places) {
    const size_t number = new_number[static_cast<size_t>(place.gate)];
    layout.places.push_back({static_cast<int64_t>(number), place.branch});
  }
  std::sort(layout.places.begin(), layout.places.end());
  return layout;
}

}  // namespace

PathSpace::PathSpace(const NetworkRef& root)
    : PathSpace(root, [](std::string_view, const GatedModule& gate) {
        return gate.is_choice();
      }) {}

PathSpace::PathSpace(const NetworkRef& root, const GateFilter& takes) {
  auto& network = root.module("PathSpace");
  TORCH_CHECK_VALUE(
      takes, "PathSpace: expected a filter of gates, got an empty function");
  auto [found, left_out] = find_gates(network, takes);
  drop_needless_places(found);
  const std::vector<size_t> order = outer_first(found);
  std::vector<size_t> new_number(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    new_number[order[i]] = i;
  }
  std::vector<GateLayout> layouts;
  for (const size_t i : order) {
    layouts.push_back(layout_of(found[i], new_number));
    gates_.push_back(found[i].gate);
    owners_.push_back(found[i].owner);
  }
  layout_ = std::make_shared<const SpaceLayout>(std::move(layouts));
  if (left_out) {
    whole_ = std::make_shared<const PathSpace>(root, detail::every_gate);
    std::unordered_map<const GatedModule*, int64_t> number_of;
    for (int64_t i = 0; i < whole_->num_gates(); ++i) {
      number_of.emplace(&whole_->gate(i), i);
    }
    for (const GatedModule* gate : gates_) {
      whole_numbers_.push_back(number_of.at(gate));
    }
  }
}

GatedModule& PathSpace::gate(int64_t index) const {
  layout_->gate(index);  // throws where there is none
  return *gates_[static_cast<size_t>(index)];
}

void PathSpace::apply(const Path& path) const {
  layout_->check_path("apply", path);
  for (const auto& [gate, open] : path) {
    gates_[static_cast<size_t>(gate)]->set_open(open);
  }
}

Path PathSpace::current() const {
  return layout_->make_path([&](int64_t gate, std::vector<int64_t>& open) {
    const c10::IntArrayRef now =
        gates_[static_cast<size_t>(gate)]->open_branches();
    open.assign(now.begin(), now.end());
  });
}

Path PathSpace::ran() const {
  const Path whole = whole_ ? whole_->ran() : Path();
  return layout_->make_unbounded_path(
      [&](int64_t gate, std::vector<int64_t>& open) {
        const auto index = static_cast<size_t>(gate);
        if (whole_ && !whole.reaches(whole_numbers_[index])) {
          return;
        }
        const c10::IntArrayRef ran = gates_[index]->ran_branches();
        open.assign(ran.begin(), ran.end());
      });
}

}  // namespace gatedpaths
