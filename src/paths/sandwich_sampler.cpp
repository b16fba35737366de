// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/gated_module.hpp>
#include <gatedpaths/gates/stream_seed.hpp>
#include <gatedpaths/paths/sandwich_sampler.hpp>

#include "../text/fnv1a.hpp"
#include "draw_path.hpp"

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <unordered_set>
#include <utility>

namespace gatedpaths {
namespace {

using Gates = std::unordered_set<const GatedModule*>;

// Beside what is inside the branches of `gates`. A parameter that is registered
// twice counts once.
class ParametersOfGate {
 public:
  ParametersOfGate(const torch::nn::Module& module, const Gates& gates)
      : gates_(gates) {
    add(module);
  }

  double count() const { return static_cast<double>(count_); }

 private:
  void add(const torch::nn::Module& module) {
    for (const auto& parameter : module.parameters(/*recurse=*/false)) {
      if (seen_.insert(parameter.unsafeGetTensorImpl()).second) {
        count_ += parameter.numel();
      }
    }
    std::unordered_set<const torch::nn::Module*> branches;
    const auto* gate = dynamic_cast<const GatedModule*>(&module);
    if (gate != nullptr && gates_.contains(gate)) {
      for (int64_t i = 0; i < gate->num_branches(); ++i) {
        branches.insert(&gate->branch_module(i));
      }
    }
    for (const auto& child : module.children()) {
      if (child != nullptr && !branches.contains(child.get())) {
        add(*child);
      }
    }
  }

  const Gates& gates_;
  std::unordered_set<const c10::TensorImpl*> seen_;
  int64_t count_ = 0;
};

uint64_t checked_cycle(int64_t random_paths) {
  TORCH_CHECK_VALUE(
      random_paths >= 0,
      fmt::format(
          "SandwichSampler: expected random_paths >= 0, got {}", random_paths));
  return 2 + static_cast<uint64_t>(random_paths);
}

// The first `count` branches in the order of `before`, ascending.
template <class Before>
std::vector<int64_t> first_branches(
    size_t branches, int64_t count, Before before) {
  std::vector<int64_t> order(branches);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), before);
  order.resize(static_cast<size_t>(count));
  std::sort(order.begin(), order.end());
  return order;
}

// What a gate adds to a path where it opens `count` branches in the order of
// `before`, and which those are.
struct Opened {
  std::vector<int64_t> branches;
  double size = 0;
};

template <class Before>
Opened open_first(
    const std::vector<double>& sizes, int64_t count, Before before) {
  Opened opened{first_branches(sizes.size(), count, [&](int64_t a, int64_t b) {
    return before(sizes[static_cast<size_t>(a)], sizes[static_cast<size_t>(b)]);
  })};
  for (const int64_t branch : opened.branches) {
    opened.size += sizes[static_cast<size_t>(branch)];
  }
  return opened;
}

void add_inside(
    std::vector<std::vector<double>>& sizes,
    const GateLayout& gate,
    double size) {
  for (const GatePlace& place : gate.places) {
    sizes[static_cast<size_t>(place.gate)][static_cast<size_t>(place.branch)] +=
        size;
  }
}

}  // namespace

GateValues SandwichSampler::parameters_of(const PathSpace& space) {
  Gates gates;
  for (int64_t i = 0; i < space.num_gates(); ++i) {
    gates.insert(&space.gate(i));
  }
  GateValues sizes;
  for (int64_t i = 0; i < space.num_gates(); ++i) {
    const GatedModule& gate = space.gate(i);
    std::vector<double> each;
    for (int64_t branch = 0; branch < gate.num_branches(); ++branch) {
      each.push_back(
          ParametersOfGate(gate.branch_module(branch), gates).count());
    }
    sizes.emplace(space.gate_name(i), std::move(each));
  }
  return sizes;
}

SandwichSampler::SandwichSampler(const PathSpace& space, uint64_t seed)
    : SandwichSampler(space.layout(), seed, parameters_of(space)) {}

SandwichSampler::SandwichSampler(
    std::shared_ptr<const SpaceLayout> layout,
    uint64_t seed,
    const GateValues& sizes,
    int64_t random_paths)
    : Sampler(std::move(layout), seed), cycle_(checked_cycle(random_paths)) {
  auto most = detail::numbers_by_gate(
      {"SandwichSampler",
       "sizes",
       "finite sizes >= 0",
       std::numeric_limits<double>::max()},
      this->layout(),
      sizes,
      /*otherwise=*/0);
  auto least = most;
  largest_.resize(most.size());
  smallest_.resize(most.size());
  detail::Fnv1a hash;
  // Inner gates first: they come after those that they lie in.
  for (size_t i = most.size(); i-- > 0;) {
    const GateLayout& gate = this->layout().gates()[i];
    auto large = open_first(most[i], gate.max_open, std::greater<>());
    auto small = open_first(least[i], gate.min_open, std::less<>());
    add_inside(most, gate, large.size);
    add_inside(least, gate, small.size);
    largest_[i] = std::move(large.branches);
    smallest_[i] = std::move(small.branches);
    for (const auto* set : {&largest_[i], &smallest_[i]}) {
      for (const int64_t branch : *set) {
        hash.add(branch);
      }
    }
  }
  set_source("SandwichSampler", hash.add(cycle_).value());
}

Path SandwichSampler::at(uint64_t step) const {
  switch (step % cycle_) {
    case 0:
      return largest();
    case 1:
      return smallest();
    default:
      return detail::draw_uniform_path(
          layout(), stream_seed(seed(), "SandwichSampler"), step);
  }
}

Path SandwichSampler::largest() const { return path_of(largest_); }

Path SandwichSampler::smallest() const { return path_of(smallest_); }

Path SandwichSampler::path_of(const OpenSets& sets) const {
  return layout().make_path([&](int64_t gate, std::vector<int64_t>& open) {
    open = sets[static_cast<size_t>(gate)];
  });
}

}  // namespace gatedpaths
