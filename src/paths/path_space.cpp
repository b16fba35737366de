// SPDX-License-Identifier: MIT
#include <gatedpaths/paths/path_space.hpp>

#include "../gates/gate_walk.hpp"

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

struct Found {
  GatedModule* gate;
  ModulePtr owner;  // null for a root on the stack
  std::string name;
  std::set<GatePlace> places;
};

std::vector<Found> find_gates(torch::nn::Module& root) {
  std::vector<Found> found;
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
        if (auto* gate = dynamic_cast<GatedModule*>(&at.module)) {
          const auto number = static_cast<int64_t>(found.size());
          const auto [known, is_new] = number_of.try_emplace(gate, number);
          if (is_new) {
            found.push_back(
                {gate, at.owner, at.name.empty() ? "." : at.name, {}});
          }
          found[static_cast<size_t>(known->second)].places.insert(place);
        }
        return true;
      },
      [&](const GatedModule& gate, int64_t branch, const GatePlace&) {
        return std::optional(GatePlace{number_of.at(&gate), branch});
      });
  return found;
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

PathSpace::PathSpace(const NetworkRef& root) {
  std::vector<Found> found = find_gates(root.module("PathSpace"));
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
  return layout_->make_unbounded_path(
      [&](int64_t gate, std::vector<int64_t>& open) {
        const c10::IntArrayRef ran =
            gates_[static_cast<size_t>(gate)]->ran_branches();
        open.assign(ran.begin(), ran.end());
      });
}

}  // namespace gatedpaths
