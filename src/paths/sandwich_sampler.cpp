// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/gated_module.hpp>
#include <gatedpaths/gates/stream_seed.hpp>
#include <gatedpaths/paths/sandwich_sampler.hpp>

#include "draw_path.hpp"

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <unordered_set>
#include <utility>

namespace gatedpaths {
namespace {

// A parameter that is registered twice counts once.
double parameters_of(const torch::nn::Module& module) {
  std::unordered_set<const c10::TensorImpl*> seen;
  int64_t count = 0;
  for (const auto& parameter : module.parameters()) {
    if (seen.insert(parameter.unsafeGetTensorImpl()).second) {
      count += parameter.numel();
    }
  }
  return static_cast<double>(count);
}

GateValues parameters_by_gate(const PathSpace& space) {
  GateValues sizes;
  for (int64_t i = 0; i < space.num_gates(); ++i) {
    const GatedModule& gate = space.gate(i);
    std::vector<double> each;
    for (int64_t branch = 0; branch < gate.num_branches(); ++branch) {
      each.push_back(parameters_of(gate.branch_module(branch)));
    }
    sizes.emplace(space.gate_name(i), std::move(each));
  }
  return sizes;
}

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

}  // namespace

SandwichSampler::SandwichSampler(
    const PathSpace& space, uint64_t seed, int64_t random_paths)
    : SandwichSampler(
          space.layout(), seed, parameters_by_gate(space), random_paths) {}

SandwichSampler::SandwichSampler(
    std::shared_ptr<const SpaceLayout> layout,
    uint64_t seed,
    const GateValues& sizes,
    int64_t random_paths)
    : Sampler(std::move(layout), seed), cycle_(checked_cycle(random_paths)) {
  const auto numbers = detail::numbers_by_gate(
      {"SandwichSampler",
       "sizes",
       "finite sizes >= 0",
       std::numeric_limits<double>::max()},
      this->layout(),
      sizes,
      /*otherwise=*/0);
  for (size_t i = 0; i < numbers.size(); ++i) {
    const GateLayout& gate = this->layout().gates()[i];
    const auto size = [&](int64_t branch) {
      return numbers[i][static_cast<size_t>(branch)];
    };
    largest_.push_back(first_branches(
        numbers[i].size(), gate.max_open, [&](int64_t a, int64_t b) {
          return size(a) > size(b);
        }));
    smallest_.push_back(first_branches(
        numbers[i].size(), gate.min_open, [&](int64_t a, int64_t b) {
          return size(a) < size(b);
        }));
  }
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
