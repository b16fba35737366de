// SPDX-License-Identifier: MIT
#include "choice_program.hpp"

namespace gatedpaths::detail {

ChoiceProgram::ChoiceProgram(const SpaceLayout& layout) : layout_(layout) {
  std::vector<int64_t> always;
  for (int64_t i = 0; i < layout.num_gates(); ++i) {
    const auto& places = layout.gate(i).places;
    if (places.empty()) {
      always.push_back(i);
    } else {
      inside_[{places[0].gate, places[0].branch}].push_back(i);
    }
  }
  start_ = gates_then(always, add({}));
}

// Built from the end, so that each point knows where it leads.
int64_t ChoiceProgram::gates_then(
    const std::vector<int64_t>& gates, int64_t then) {
  for (size_t i = gates.size(); i > 0; --i) {
    then = gate_then(gates[i - 1], then);
  }
  return then;
}

int64_t ChoiceProgram::gate_then(int64_t gate, int64_t then) {
  const auto found = known_.find({gate, then});
  if (found != known_.end()) {
    return found->second;
  }
  const int64_t point = layout_.gate(gate).max_open == 1
                            ? one_of(gate, then)
                            : several_of(gate, then);
  known_[{gate, then}] = point;
  return point;
}

int64_t ChoiceProgram::one_of(int64_t gate, int64_t then) {
  const GateLayout& layout = layout_.gate(gate);
  std::vector<ChoiceEdge> edges;
  if (layout.min_open == 0) {
    edges.push_back({then, -1, 0});
  }
  const auto branches = static_cast<int64_t>(layout.branch_names.size());
  for (int64_t b = 0; b < branches; ++b) {
    edges.push_back({open_then(gate, b, then), gate, b});
  }
  return add(std::move(edges));
}

// Branch by branch, with as many points as there may be open ones before it.
int64_t ChoiceProgram::several_of(int64_t gate, int64_t then) {
  const GateLayout& layout = layout_.gate(gate);
  const auto branches = static_cast<int64_t>(layout.branch_names.size());
  const auto sizes = static_cast<size_t>(layout.max_open + 1);
  std::vector<int64_t> after(sizes, kNowhere);
  for (int64_t j = layout.min_open; j <= layout.max_open; ++j) {
    after[static_cast<size_t>(j)] = then;
  }
  for (int64_t b = branches - 1; b >= 0; --b) {
    std::vector<int64_t> here(sizes, kNowhere);
    for (size_t j = 0; j < sizes && static_cast<int64_t>(j) <= b; ++j) {
      if (j + 1 == sizes) {
        here[j] = then;  // no more may be opened
        continue;
      }
      std::vector<ChoiceEdge> edges;
      if (after[j] != kNowhere) {
        edges.push_back({after[j], -1, 0});
      }
      if (after[j + 1] != kNowhere) {
        edges.push_back({open_then(gate, b, after[j + 1]), gate, b});
      }
      if (!edges.empty()) {
        here[j] = add(std::move(edges));
      }
    }
    after = std::move(here);
  }
  return after[0];
}

int64_t ChoiceProgram::open_then(int64_t gate, int64_t branch, int64_t then) {
  const auto found = inside_.find({gate, branch});
  return found == inside_.end() ? then : gates_then(found->second, then);
}

int64_t ChoiceProgram::add(std::vector<ChoiceEdge> edges) {
  points_.push_back(std::move(edges));
  return static_cast<int64_t>(points_.size()) - 1;
}

}  // namespace gatedpaths::detail
