// SPDX-License-Identifier: MIT
// What every sampler promises, and the laws of those that draw.
#pragma once

#include <gatedpaths/paths/sampler.hpp>
#include <gatedpaths/paths/space_layout.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/chi_square.hpp"

namespace gatedpaths::test {

/// A structure as samplers take it.
inline std::shared_ptr<const SpaceLayout> shared_layout(
    std::vector<GateLayout> gates) {
  return std::make_shared<const SpaceLayout>(std::move(gates));
}

/// A gate of branches "0", "1", ...
inline GateLayout numbered_gate(
    const std::string& name,
    int64_t branches,
    int64_t min_open,
    int64_t max_open,
    std::vector<GatePlace> places = {}) {
  std::vector<std::string> names;
  for (int64_t i = 0; i < branches; ++i) {
    names.push_back(std::to_string(i));
  }
  return {name, std::move(names), min_open, max_open, std::move(places)};
}

/// The paths of the first steps, as texts.
inline std::vector<std::string> first_paths(
    const Sampler& sampler, uint64_t steps) {
  std::vector<std::string> texts;
  for (uint64_t step = 0; step < steps; ++step) {
    texts.push_back(sampler.layout().to_string(sampler.at(step)));
  }
  return texts;
}

/// The n-th path is the same whatever was drawn before, in any order, on any
/// thread, and from a saved state on.
template <class S>
void check_function_of_step(const S& sampler, uint64_t steps = 60) {
  std::vector<Path> paths;
  S in_order = sampler;
  for (uint64_t step = 0; step < steps; ++step) {
    CHECK(in_order.step() == step);
    paths.push_back(in_order.next());
  }
  for (uint64_t step = steps; step > 0; --step) {
    CHECK(sampler.at(step - 1) == paths[step - 1]);
  }

  S resumed = sampler;
  resumed.set_state({sampler.seed() + 1, 0});
  resumed.next();
  resumed.set_state({sampler.seed(), steps / 2});
  CHECK(resumed.next() == paths[steps / 2]);
  CHECK(resumed.next() == paths[steps / 2 + 1]);

  constexpr uint64_t kThreads = 4;
  std::vector<Path> from_threads(steps);
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t step = t; step < steps; step += kThreads) {
        from_threads[step] = sampler.at(step);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (uint64_t step = 0; step < steps; ++step) {
    CHECK(from_threads[step] == paths[step]);
  }
}

/// The sets that a gate's bounds allow, with probabilities in proportion to the
/// product of their members' odds, by going through all subsets.
inline std::map<std::vector<int64_t>, double> law_of_odds(
    const GateLayout& gate, const std::vector<double>& odds) {
  std::map<std::vector<int64_t>, double> law;
  double total = 0;
  for (uint64_t bits = 0; bits < uint64_t{1} << odds.size(); ++bits) {
    std::vector<int64_t> set;
    double weight = 1;
    for (size_t i = 0; i < odds.size(); ++i) {
      if ((bits >> i & 1U) != 0) {
        set.push_back(static_cast<int64_t>(i));
        weight *= odds[i];
      }
    }
    const auto size = static_cast<int64_t>(set.size());
    if (gate.min_open <= size && size <= gate.max_open) {
      law[set] = weight;
      total += weight;
    }
  }
  for (auto& entry : law) {
    entry.second /= total;
  }
  return law;
}

/// How far the paths of `draws` steps are from the law of gates that draw by
/// odds where they are reached, in standard deviations (see chi_square.hpp).
inline double deviations_from_odds(
    const Sampler& sampler,
    const std::vector<std::vector<double>>& odds,
    uint64_t draws) {
  const SpaceLayout& layout = sampler.layout();
  std::vector<double> probabilities;
  std::map<std::string, size_t> number;
  for (uint64_t i = 0; i < layout.size(); ++i) {
    const Path path = layout.at(i);
    double probability = 1;
    for (const auto& [gate, open] : path) {
      probability *=
          law_of_odds(layout.gate(gate), odds[static_cast<size_t>(gate)])
              .at(open.vec());
    }
    if (probability > 0) {
      number.emplace(layout.to_string(path), probabilities.size());
      probabilities.push_back(probability);
    }
  }
  std::vector<int64_t> counts(probabilities.size());
  for (uint64_t step = 0; step < draws; ++step) {
    ++counts[number.at(layout.to_string(sampler.at(step)))];
  }
  return deviations(counts, probabilities);
}

}  // namespace gatedpaths::test
