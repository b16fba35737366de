// SPDX-License-Identifier: MIT
// How many paths within a budget lead on from where. Not installed.
#pragma once

#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/search/budget.hpp>

#include "../random/counter_random.hpp"

#include <cstdint>
#include <memory>
#include <optional>

namespace gatedpaths::detail {

class BudgetTable {
 public:
  virtual ~BudgetTable() = default;

  /// Throws what the constructor of `CountedSpace` throws.
  static std::shared_ptr<const BudgetTable> make(
      const Budget& budget, int64_t max_states);

  /// None above 64 bits.
  virtual std::optional<uint64_t> size() const = 0;
  virtual double log2_size() const = 0;
  /// The slack of a limit, in the units of its cost.
  virtual double slack(size_t limit) const = 0;
  /// A number that other budgets do not have.
  virtual uint64_t hash() const = 0;

  virtual Path at(uint64_t index) const = 0;
  virtual Path draw(CounterRandom& random) const = 0;
};

}  // namespace gatedpaths::detail
