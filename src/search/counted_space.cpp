// SPDX-License-Identifier: MIT
#include <gatedpaths/search/counted_space.hpp>

#include "budget_table.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <utility>

namespace gatedpaths {

CountedSpace::CountedSpace(Budget budget, const CountedSpaceOptions& options)
    : budget_(std::move(budget)) {
  TORCH_CHECK_VALUE(
      options.max_states() >= 1,
      "CountedSpace: expected max_states of at least 1, got ",
      options.max_states());
  table_ = detail::BudgetTable::make(budget_, options.max_states());
}

uint64_t CountedSpace::size() const {
  const auto size = table_->size();
  TORCH_CHECK_VALUE(
      size.has_value(),
      fmt::format(
          "CountedSpace::size: expected a number of paths that fits 64 bits, "
          "got 2^{:.2f}",
          log2_size()));
  return *size;
}

double CountedSpace::log2_size() const noexcept { return table_->log2_size(); }

bool CountedSpace::is_exact() const noexcept { return table_->slack(0) == 0; }

double CountedSpace::slack(int64_t index) const {
  TORCH_CHECK_INDEX(
      0 <= index && index < static_cast<int64_t>(budget_.limits().size()),
      fmt::format(
          "CountedSpace::slack: expected a limit in [0, {}), got {}",
          budget_.limits().size(),
          index));
  return table_->slack(static_cast<size_t>(index));
}

Path CountedSpace::at(uint64_t index) const {
  const uint64_t count = size();
  TORCH_CHECK_INDEX(
      index < count,
      fmt::format(
          "CountedSpace::at: expected an index in [0, {}), got {}",
          count,
          index));
  return table_->at(index);
}

}  // namespace gatedpaths
