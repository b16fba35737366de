// SPDX-License-Identifier: MIT
#include "path_proposer.hpp"

#include "../paths/has_size.hpp"
#include "../random/draw_open_set.hpp"
#include "budget_table.hpp"

#include <numeric>
#include <utility>
#include <vector>

namespace gatedpaths::detail {
namespace {

// How many draws may be nothing new before paths are gone through in order.
constexpr int kDraws = 64;

void first_open_set(int64_t min_open, std::vector<int64_t>& open) {
  open.resize(static_cast<size_t>(min_open));
  std::iota(open.begin(), open.end(), 0);
}

// A little below 64: the logarithm is rounded.
bool fits_64_bits(double log2_size) { return log2_size < 63.99; }

std::optional<uint64_t> size_of(
    const SpaceLayout& layout, const std::optional<CountedSpace>& within) {
  if (within) {
    return fits_64_bits(within->log2_size()) ? std::optional(within->size())
                                             : std::nullopt;
  }
  return has_size(layout) && fits_64_bits(layout.log2_size())
             ? std::optional(layout.size())
             : std::nullopt;
}

}  // namespace

PathProposer::PathProposer(
    std::shared_ptr<const SpaceLayout> layout,
    std::optional<CountedSpace> within)
    : layout_(std::move(layout)),
      within_(std::move(within)),
      size_(size_of(*layout_, within_)) {}

std::optional<Path> PathProposer::draw(
    uint64_t stream, uint64_t step, uint64_t known, Accepts accepts) const {
  CounterRandom random(stream, step, static_cast<uint64_t>(Lane::kDraw));
  Path path;
  for (int i = 0; i < kDraws; ++i) {
    path = draw_any(random);
    if (accepts(path)) {
      return path;
    }
  }
  // Each step on this walk that finds nothing has met another known path.
  if (within_) {
    return size_ ? walk_ranks(random.below(*size_), known, accepts)
                 : std::nullopt;
  }
  const Path start = path;
  for (uint64_t i = 0; i < known; ++i) {
    path = next(path);
    if (path == start) {
      break;
    }
    if (accepts(path)) {
      return path;
    }
  }
  return std::nullopt;
}

Path PathProposer::draw_any(CounterRandom& random) const {
  if (within_) {
    return within_->table_->draw(random);
  }
  if (size_) {
    return layout_->at(random.below(*size_));
  }
  return layout_->make_path([&](int64_t gate, std::vector<int64_t>& open) {
    draw_set(gate, random, open);
  });
}

std::optional<Path> PathProposer::walk_ranks(
    uint64_t rank, uint64_t known, Accepts accepts) const {
  const uint64_t visits = known < *size_ ? known + 1 : *size_;
  for (uint64_t i = 0; i < visits; ++i) {
    Path path = within_->at(rank);
    if (accepts(path)) {
      return path;
    }
    rank = rank + 1 == *size_ ? 0 : rank + 1;
  }
  return std::nullopt;
}

Path PathProposer::mutate(const Path& parent, CounterRandom& random) const {
  std::vector<int64_t> gates;
  for (const int64_t gate : parent.gates()) {
    if (can_change(gate)) {
      gates.push_back(gate);
    }
  }
  if (gates.empty()) {
    return parent;
  }
  const int64_t changed = gates[random.below(gates.size())];
  return layout_->make_path([&](int64_t gate, std::vector<int64_t>& open) {
    if (!parent.reaches(gate)) {
      draw_set(gate, random, open);
      return;
    }
    const auto before = parent.open_branches(gate);
    if (gate != changed) {
      open.assign(before.begin(), before.end());
      return;
    }
    do {  // at least every other draw is another set
      open.clear();
      draw_set(gate, random, open);
    } while (before.equals(open));
  });
}

void PathProposer::visit_neighbours(
    const Path& parent, c10::function_ref<bool(Path)> visit) const {
  std::vector<int64_t> set;
  for (const int64_t changed : parent.gates()) {
    const GateLayout& gate = layout_->gate(changed);
    first_open_set(gate.min_open, set);
    do {
      if (parent.open_branches(changed).equals(set)) {
        continue;
      }
      if (!visit(replace(parent, changed, set))) {
        return;
      }
    } while (next_open_set(
        static_cast<int64_t>(gate.branch_names.size()), gate.max_open, set));
  }
}

Path PathProposer::next(const Path& path) const {
  std::vector<int64_t> set;
  const auto gates = path.gates();
  size_t place = gates.size();
  bool found = false;
  while (!found && place > 0) {
    const int64_t number = gates[--place];
    const GateLayout& gate = layout_->gate(number);
    set = path.open_branches(number).vec();
    found = next_open_set(
        static_cast<int64_t>(gate.branch_names.size()), gate.max_open, set);
  }
  // Gates before it stay as they are, those after it start anew.
  const int64_t changed = found ? gates[place] : -1;
  return layout_->make_path([&](int64_t gate, std::vector<int64_t>& open) {
    if (gate < changed) {
      open = path.open_branches(gate).vec();
    } else if (gate == changed) {
      open = set;
    } else {
      first_open_set(layout_->gate(gate).min_open, open);
    }
  });
}

Path PathProposer::replace(
    const Path& parent,
    int64_t changed,
    const std::vector<int64_t>& set) const {
  return layout_->make_path([&](int64_t gate, std::vector<int64_t>& open) {
    if (gate == changed) {
      open = set;
    } else if (parent.reaches(gate)) {
      open = parent.open_branches(gate).vec();
    } else {
      first_open_set(layout_->gate(gate).min_open, open);
    }
  });
}

bool PathProposer::can_change(int64_t gate) const {
  const GateLayout& of = layout_->gates()[static_cast<size_t>(gate)];
  return of.min_open < of.max_open ||
         of.max_open < static_cast<int64_t>(of.branch_names.size());
}

void PathProposer::draw_set(
    int64_t gate, CounterRandom& random, std::vector<int64_t>& open) const {
  const GateLayout& of = layout_->gates()[static_cast<size_t>(gate)];
  draw_open_set(
      random,
      static_cast<int64_t>(of.branch_names.size()),
      of.min_open,
      of.max_open,
      open);
}

bool next_open_set(
    int64_t branches, int64_t max_open, std::vector<int64_t>& open) {
  const auto size = static_cast<int64_t>(open.size());
  for (int64_t i = size - 1; i >= 0; --i) {
    const auto place = open.begin() + i;
    if (*place < branches - (size - i)) {
      std::iota(place, open.end(), *place + 1);
      return true;
    }
  }
  if (size == max_open) {
    return false;
  }
  first_open_set(size + 1, open);
  return true;
}

}  // namespace gatedpaths::detail
