// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/stream_seed.hpp>
#include <gatedpaths/paths/fair_sampler.hpp>

#include "../random/counter_random.hpp"
#include "../random/draw_open_set.hpp"

#include <c10/util/Exception.h>
#include <c10/util/SmallVector.h>

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

namespace gatedpaths {
namespace {

// A gate that opens one of N branches reaches what is inside of each exactly
// once in a round of N; one that opens all of them does so each time.
uint64_t per_count_inside(const GateLayout& gate, uint64_t per_count) {
  const auto branches = static_cast<uint64_t>(gate.branch_names.size());
  if (gate.max_open != 1) {
    return per_count;
  }
  constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
  return per_count > kMost / branches ? kMost : per_count * branches;
}

std::vector<uint64_t> steps_per_count(const SpaceLayout& layout) {
  std::vector<uint64_t> result;
  for (const GateLayout& gate : layout.gates()) {
    TORCH_CHECK_VALUE(
        gate.min_open == gate.max_open,
        fmt::format(
            "FairSampler: expected min_open == max_open for gate '{}', got "
            "min_open={} and max_open={}; UniformSampler and BernoulliSampler "
            "take such gates",
            gate.name,
            gate.min_open,
            gate.max_open));
    if (gate.places.size() != 1) {
      result.push_back(1);
      continue;
    }
    const auto around = static_cast<size_t>(gate.places.front().gate);
    result.push_back(per_count_inside(layout.gates()[around], result[around]));
  }
  return result;
}

// Position p of a round opens the branches order[(p + d) % n] for d in a fixed
// set of k offsets: each branch k times in n positions, never twice in one.
void draw_fair_set(
    detail::CounterRandom& random,
    int64_t branches,
    int64_t size,
    int64_t position,
    std::vector<int64_t>& open) {
  if (size == 1) {
    open.assign(1, 0);
  } else {
    detail::draw_open_set(random, branches, size, size, open);
  }
  int64_t last = 0;
  for (int64_t& offset : open) {
    offset = (position + offset) % branches;
    last = std::max(last, offset);
  }
  // Fisher and Yates's shuffle, as far as it is looked at.
  c10::SmallVector<int64_t, 32> order(static_cast<size_t>(branches));
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = 0; i <= last; ++i) {
    const auto left = static_cast<uint64_t>(branches - i);
    const auto other = i + static_cast<int64_t>(random.below(left));
    std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(other)]);
  }
  for (int64_t& branch : open) {
    branch = order[static_cast<size_t>(branch)];
  }
  std::sort(open.begin(), open.end());
}

}  // namespace

FairSampler::FairSampler(
    std::shared_ptr<const SpaceLayout> layout, uint64_t seed)
    : Sampler(std::move(layout), seed),
      steps_per_count_(steps_per_count(this->layout())) {
  set_source("FairSampler");
}

Path FairSampler::at(uint64_t step) const {
  const uint64_t stream = stream_seed(seed(), "FairSampler");
  return layout().make_path([&](int64_t number, std::vector<int64_t>& open) {
    const auto index = static_cast<size_t>(number);
    const GateLayout& gate = layout().gates()[index];
    const auto branches = static_cast<uint64_t>(gate.branch_names.size());
    const uint64_t count = step / steps_per_count_[index];
    detail::CounterRandom random(
        stream, count / branches, static_cast<uint64_t>(number));
    draw_fair_set(
        random,
        static_cast<int64_t>(branches),
        gate.max_open,
        static_cast<int64_t>(count % branches),
        open);
  });
}

}  // namespace gatedpaths
