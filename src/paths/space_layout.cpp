// SPDX-License-Identifier: MIT
#include <gatedpaths/paths/space_layout.hpp>

#include "../text/fnv1a.hpp"
#include "../text/text.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <unordered_set>
#include <utility>

namespace gatedpaths {
namespace {

uint64_t hash_of(const std::vector<GateLayout>& gates) {
  detail::Fnv1a hash;
  hash.add(std::string_view("gatedpaths.space.1"));
  for (const GateLayout& gate : gates) {
    hash.add(std::string_view(gate.name));
    hash.add(static_cast<uint64_t>(gate.branch_names.size()));
    for (const std::string& name : gate.branch_names) {
      hash.add(std::string_view(name));
    }
    hash.add(gate.min_open).add(gate.max_open);
    hash.add(static_cast<uint64_t>(gate.places.size()));
    for (const GatePlace& place : gate.places) {
      hash.add(place.gate).add(place.branch);
    }
  }
  return hash.value();
}

std::vector<std::string> names_of(const std::vector<GateLayout>& gates) {
  std::vector<std::string> names;
  names.reserve(gates.size());
  for (const GateLayout& gate : gates) {
    names.push_back(gate.name);
  }
  return names;
}

}  // namespace

SpaceLayout::SpaceLayout(std::vector<GateLayout> gates)
    : gates_(std::move(gates)) {
  for (size_t i = 0; i < gates_.size(); ++i) {
    check_gate(i);
    const bool is_new =
        index_of_.try_emplace(gates_[i].name, static_cast<int64_t>(i)).second;
    TORCH_CHECK_VALUE(
        is_new,
        fmt::format(
            "SpaceLayout: expected different gate names, got '{}' twice",
            gates_[i].name));
  }
  hash_ = hash_of(gates_);
  nest();
  count();
}

const GateLayout& SpaceLayout::gate(int64_t index) const& {
  TORCH_CHECK_INDEX(
      0 <= index && index < num_gates(),
      fmt::format(
          "PathSpace::gate: expected a gate number in [0, {}), got {}",
          num_gates(),
          index));
  return gates_[static_cast<size_t>(index)];
}

int64_t SpaceLayout::gate_index(std::string_view name) const {
  const auto place = index_of_.find(name);
  TORCH_CHECK_INDEX(
      place != index_of_.end(),
      fmt::format(
          "PathSpace::gate_index: expected one of the gates ({}), got '{}'",
          detail::quoted(names_of(gates_)),
          name));
  return place->second;
}

Path SpaceLayout::make_path(Choose choose) const {
  return walk(choose, /*bounded=*/true);
}

Path SpaceLayout::make_unbounded_path(Choose choose) const {
  return walk(choose, /*bounded=*/false);
}

Path SpaceLayout::walk(Choose choose, bool bounded) const {
  Path path;
  path.space_hash_ = bounded ? hash_ : 0;
  // Gates lie in gates of smaller numbers only, so the smallest one that is
  // still to be set can never be reached from one that is set later.
  size_t next_always = 0;
  std::vector<int64_t> nested;  // a heap, the smallest in front
  std::vector<int64_t> open;
  int64_t last = -1;
  while (next_always < always_.size() || !nested.empty()) {
    int64_t gate = 0;
    if (nested.empty() || (next_always < always_.size() &&
                           always_[next_always] < nested.front())) {
      gate = always_[next_always++];
    } else {
      std::pop_heap(nested.begin(), nested.end(), std::greater<>());
      gate = nested.back();
      nested.pop_back();
      if (gate == last) {
        continue;  // reached through another of its places
      }
    }
    last = gate;
    open.clear();
    choose(gate, open);
    if (bounded) {
      check_bounds(gate, open);
    }
    check_choice(gate, open);
    path.append(gate, open);
    const auto& inside = inside_[static_cast<size_t>(gate)];
    if (inside.empty()) {
      continue;
    }
    for (const int64_t branch : open) {
      for (const int64_t inner : inside[static_cast<size_t>(branch)]) {
        nested.push_back(inner);
        std::push_heap(nested.begin(), nested.end(), std::greater<>());
      }
    }
  }
  return path;
}

void SpaceLayout::check_path(std::string_view method, const Path& path) const {
  TORCH_CHECK_VALUE(
      path.space_hash() == hash_,
      fmt::format(
          "PathSpace::{}: expected a path of space {:#018x}, got one of space "
          "{:#018x}",
          method,
          hash_,
          path.space_hash()));
}

void SpaceLayout::check_gate(size_t index) const {
  const GateLayout& gate = gates_[index];
  const auto count = static_cast<int64_t>(gate.branch_names.size());
  TORCH_CHECK_VALUE(
      0 <= gate.min_open && gate.min_open <= gate.max_open &&
          1 <= gate.max_open && gate.max_open <= count,
      fmt::format(
          "SpaceLayout: expected 0 <= min_open <= max_open <= {} and max_open "
          ">= "
          "1 for gate '{}', got min_open={} and max_open={}",
          count,
          gate.name,
          gate.min_open,
          gate.max_open));
  std::unordered_set<std::string_view> seen;
  for (const std::string& name : gate.branch_names) {
    // In a path's text it could not be told from no branch.
    TORCH_CHECK_VALUE(
        !name.empty(),
        fmt::format(
            "SpaceLayout: expected a name for each branch of gate '{}', got an "
            "empty one",
            gate.name));
    TORCH_CHECK_VALUE(
        seen.insert(name).second,
        fmt::format(
            "SpaceLayout: expected different branch names in gate '{}', got "
            "'{}' "
            "twice",
            gate.name,
            name));
  }
  for (const GatePlace& place : gate.places) {
    const auto parent = static_cast<size_t>(place.gate);
    TORCH_CHECK_VALUE(
        0 <= place.gate && parent < index && 0 <= place.branch &&
            static_cast<size_t>(place.branch) <
                gates_[parent].branch_names.size(),
        fmt::format(
            "SpaceLayout: expected gate {} ('{}') in a branch of an earlier "
            "gate, got branch {} of gate {}",
            index,
            gate.name,
            place.branch,
            place.gate));
  }
}

void SpaceLayout::check_bounds(int64_t index, c10::IntArrayRef open) const {
  const GateLayout& gate = gates_[static_cast<size_t>(index)];
  const auto count = static_cast<int64_t>(open.size());
  TORCH_CHECK_VALUE(
      gate.min_open <= count && count <= gate.max_open,
      fmt::format(
          "SpaceLayout::make_path: expected {} to {} open branches for gate "
          "'{}', got {} ({})",
          gate.min_open,
          gate.max_open,
          gate.name,
          count,
          detail::numbers(open)));
}

void SpaceLayout::check_choice(int64_t index, c10::IntArrayRef open) const {
  const GateLayout& gate = gates_[static_cast<size_t>(index)];
  TORCH_CHECK_VALUE(
      std::is_sorted(open.begin(), open.end(), std::less_equal<>()),
      fmt::format(
          "SpaceLayout::make_path: expected ascending branches for gate '{}', "
          "got {}",
          gate.name,
          detail::numbers(open)));
  const auto branches = static_cast<int64_t>(gate.branch_names.size());
  TORCH_CHECK_INDEX(
      open.empty() || (0 <= open.front() && open.back() < branches),
      fmt::format(
          "SpaceLayout::make_path: expected branches in [0, {}) for gate '{}', "
          "got {}",
          branches,
          gate.name,
          detail::numbers(open)));
}

void SpaceLayout::nest() {
  inside_.resize(gates_.size());
  for (size_t i = 0; i < gates_.size(); ++i) {
    const auto number = static_cast<int64_t>(i);
    if (gates_[i].places.empty()) {
      always_.push_back(number);
    }
    for (const GatePlace& place : gates_[i].places) {
      const auto parent = static_cast<size_t>(place.gate);
      inside_[parent].resize(gates_[parent].branch_names.size());
      inside_[parent][static_cast<size_t>(place.branch)].push_back(number);
    }
  }
}

}  // namespace gatedpaths
