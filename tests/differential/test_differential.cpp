// SPDX-License-Identifier: MIT
// Random trees of gates, held against every open branch by itself.
#include "differential/random_tree.hpp"
#include "differential/shrink.hpp"
#include "differential/tree_run.hpp"

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>

#include "support/catch.hpp"

namespace gatedpaths::differential {
namespace {

constexpr uint64_t kSteps = 8;
constexpr uint64_t kTrees = 1200;  // of each case, unless a time is given

std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

// Whether there is another tree, by their number or by the clock.
class Budget {
 public:
  Budget() : start_(Clock::now()) {
    if (const auto seconds = variable("GATEDPATHS_DIFFERENTIAL_SECONDS")) {
      seconds_ = std::stod(*seconds);
    }
  }

  bool allows(uint64_t trees) const {
    const std::chrono::duration<double> passed = Clock::now() - start_;
    return seconds_ ? passed.count() < *seconds_ : trees < kTrees;
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_;
  std::optional<double> seconds_;
};

uint64_t first_seed() {
  const auto seed = variable("GATEDPATHS_TEST_SEED");
  return seed ? std::stoull(*seed) : 0;
}

void hold_against_reference(Form form) {
  const auto first = first_seed();
  const Budget budget;
  Counts counts;
  uint64_t seed = first;
  for (; budget.allows(seed - first); ++seed) {
    const auto tree = random_tree(seed, form);
    INFO("GATEDPATHS_TEST_SEED=" << seed << " begins with this tree");
    INFO(describe(tree));
    const auto found = run_tree(tree, kSteps, counts);
    if (found) {
      const auto small = shrunk(tree, kSteps);
      Counts again;
      const auto of_small = run_tree(small, kSteps, again);
      FAIL(
          "step " << found->step << ", " << found->text
                  << "\nsmaller: " << describe(small) << "step "
                  << of_small->step << ", " << of_small->text);
    }
  }
  std::cout << "seeds " << first << " to " << seed - 1 << ": " << counts.trees
            << " trees with " << counts.gates << " gates, " << counts.forwards
            << " forwards, " << counts.backwards << " backwards and steps, "
            << counts.errors << " errors of both, " << counts.tensors
            << " comparisons\n";
}

}  // namespace

TEST_CASE(
    "differential: gates on rows are what their branches are",
    "[differential]") {
  hold_against_reference(Form::kRows);
}

TEST_CASE(
    "differential: gates on tokens are what their branches are",
    "[differential]") {
  hold_against_reference(Form::kTokens);
}

TEST_CASE(
    "differential: gates on images are what their branches are",
    "[differential]") {
  hold_against_reference(Form::kImages);
}

}  // namespace gatedpaths::differential
