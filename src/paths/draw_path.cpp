// SPDX-License-Identifier: MIT
#include "draw_path.hpp"

#include "../random/counter_random.hpp"
#include "../random/draw_open_set.hpp"
#include "../text/fnv1a.hpp"
#include "../text/text.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace gatedpaths::detail {
namespace {

std::vector<double> numbers_of_gate(
    const NumberRule& rule, const GateLayout& gate, const BranchValues& given) {
  const size_t branches = gate.branch_names.size();
  std::vector<double> numbers =
      given.for_all() ? std::vector<double>(branches, given.values().front())
                      : given.values();
  TORCH_CHECK_VALUE(
      numbers.size() == branches,
      fmt::format(
          "{}: expected {} {} for gate '{}', got {}",
          rule.sampler,
          branches,
          rule.noun,
          gate.name,
          numbers.size()));
  for (size_t i = 0; i < branches; ++i) {
    TORCH_CHECK_VALUE(
        0 <= numbers[i] && numbers[i] <= rule.highest,
        fmt::format(
            "{}: expected {} for gate '{}', got {} for branch '{}'",
            rule.sampler,
            rule.range,
            gate.name,
            numbers[i],
            gate.branch_names[i]));
  }
  return numbers;
}

void check_names(
    const NumberRule& rule,
    const SpaceLayout& layout,
    const GateValues& given) {
  std::vector<std::string> names;
  for (const GateLayout& gate : layout.gates()) {
    names.push_back(gate.name);
  }
  for (const auto& entry : given) {
    TORCH_CHECK_INDEX(
        std::find(names.begin(), names.end(), entry.first) != names.end(),
        fmt::format(
            "{}: expected one of the gates ({}), got '{}'",
            rule.sampler,
            quoted(names),
            entry.first));
  }
}

}  // namespace

Path draw_uniform_path(
    const SpaceLayout& layout, uint64_t seed, uint64_t step) {
  return layout.make_path([&](int64_t number, std::vector<int64_t>& open) {
    const GateLayout& gate = layout.gates()[static_cast<size_t>(number)];
    CounterRandom random(seed, step, static_cast<uint64_t>(number));
    draw_open_set(
        random,
        static_cast<int64_t>(gate.branch_names.size()),
        gate.min_open,
        gate.max_open,
        open);
  });
}

Path draw_conditional_path(
    const SpaceLayout& layout,
    const std::vector<ConditionalSets>& sets,
    uint64_t seed,
    uint64_t step) {
  return layout.make_path([&](int64_t gate, std::vector<int64_t>& open) {
    CounterRandom random(seed, step, static_cast<uint64_t>(gate));
    sets[static_cast<size_t>(gate)].draw(random, open);
  });
}

std::vector<std::vector<double>> numbers_by_gate(
    const NumberRule& rule,
    const SpaceLayout& layout,
    const GateValues& given,
    double otherwise) {
  std::vector<std::vector<double>> numbers;
  size_t named = 0;
  for (const GateLayout& gate : layout.gates()) {
    const auto entry = given.find(gate.name);
    named += entry == given.end() ? 0 : 1;
    numbers.push_back(
        entry == given.end()
            ? std::vector<double>(gate.branch_names.size(), otherwise)
            : numbers_of_gate(rule, gate, entry->second));
  }
  if (named != given.size()) {
    check_names(rule, layout, given);
  }
  return numbers;
}

uint64_t hash_of_numbers(const std::vector<std::vector<double>>& numbers) {
  Fnv1a hash;
  for (const auto& of_gate : numbers) {
    hash.add(static_cast<uint64_t>(of_gate.size()));
    for (const double number : of_gate) {
      // -0 is the number that 0 is.
      hash.add(std::bit_cast<uint64_t>(number == 0 ? 0.0 : number));
    }
  }
  return hash.value();
}

}  // namespace gatedpaths::detail
