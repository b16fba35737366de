// SPDX-License-Identifier: MIT
// How many paths a space has, and which is the n-th.
//
// Let b_i be the number of ways to set what is inside branch i of a gate. The
// gate and all inside it can then be set in e_min(b) + ... + e_max(b) ways, e_k
// being the elementary symmetric polynomial of degree k: the sum over all open
// sets of k branches of the product of their b_i.
#include <gatedpaths/paths/space_layout.hpp>

#include <c10/util/Exception.h>
#include <c10/util/safe_numerics.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace gatedpaths {
namespace {

// Empty where 64 bits do not hold the number. All numbers here are sums and
// products of positive ones, so what does not fit never comes back.
using Count = std::optional<uint64_t>;

struct ExactNumbers {
  using Number = Count;

  static Number zero() { return 0; }
  static Number one() { return 1; }
  static Number add(const Number& a, const Number& b) {
    uint64_t sum = 0;
    return a && b && !c10::add_overflows(*a, *b, &sum) ? Number(sum)
                                                       : std::nullopt;
  }
  static Number multiply(const Number& a, const Number& b) {
    uint64_t product = 0;
    return a && b && !c10::mul_overflows(*a, *b, &product) ? Number(product)
                                                           : std::nullopt;
  }
};

// Logarithms to the base 2.
struct LogNumbers {
  using Number = double;

  static Number zero() { return -std::numeric_limits<double>::infinity(); }
  static Number one() { return 0; }
  static Number add(Number a, Number b) {
    const auto [low, high] = std::minmax(a, b);
    return std::isinf(low) ? high : high + std::log2(1 + std::exp2(low - high));
  }
  static Number multiply(Number a, Number b) { return a + b; }
};

// e_j(b_i, ..., b_n-1) for the j that matter: those that can be completed by
// branches before i to an allowed size. Anything else could be too large to
// hold although the result is not.
template <class Numbers>
struct Row {
  int64_t first = 0;  // the smallest j
  std::vector<typename Numbers::Number> values;

  const typename Numbers::Number& at(int64_t j) const {
    return values[static_cast<size_t>(j - first)];
  }
  bool has(int64_t j) const {
    return first <= j && j < first + static_cast<int64_t>(values.size());
  }
};

struct Bounds {
  int64_t branches;
  int64_t min_open;
  int64_t max_open;
};

template <class Numbers>
Row<Numbers> last_row() {
  return {0, {Numbers::one()}};
}

template <class Numbers>
Row<Numbers> row_before(
    int64_t i,
    const typename Numbers::Number& inside,
    const Row<Numbers>& after,
    const Bounds& bounds) {
  Row<Numbers> row{std::max<int64_t>(0, bounds.min_open - i), {}};
  const int64_t last = std::min(bounds.max_open, bounds.branches - i);
  for (int64_t j = row.first; j <= last; ++j) {
    auto value = after.has(j) ? after.at(j) : Numbers::zero();
    if (after.has(j - 1)) {
      value = Numbers::add(value, Numbers::multiply(inside, after.at(j - 1)));
    }
    row.values.push_back(value);
  }
  return row;
}

template <class Numbers>
typename Numbers::Number sum(const Row<Numbers>& row) {
  auto total = Numbers::zero();
  for (const auto& value : row.values) {
    total = Numbers::add(total, value);
  }
  return total;
}

template <class Numbers>
typename Numbers::Number nested_count(
    const std::vector<typename Numbers::Number>& inside, const Bounds& bounds) {
  Row<Numbers> row = last_row<Numbers>();
  for (int64_t i = bounds.branches - 1; i >= 0; --i) {
    row = row_before<Numbers>(i, inside[static_cast<size_t>(i)], row, bounds);
  }
  return sum(row);
}

Count binomial(int64_t n, int64_t k) {
  k = std::min(k, n - k);
  uint64_t value = 1;
  for (int64_t i = 1; i <= k; ++i) {
    // value * (n - k + i) / i, divided first so that only what is too large in
    // the end overflows.
    const auto divisor = static_cast<uint64_t>(i);
    const uint64_t common = std::gcd(value, divisor);
    const uint64_t factor =
        static_cast<uint64_t>(n - k + i) / (divisor / common);
    if (c10::mul_overflows(value / common, factor, &value)) {
      return std::nullopt;
    }
  }
  return value;
}

Count plain_count(const Bounds& bounds) {
  Count total = 0;
  for (int64_t k = bounds.min_open; total && k <= bounds.max_open; ++k) {
    total = ExactNumbers::add(total, binomial(bounds.branches, k));
  }
  return total;
}

double plain_log2_count(const Bounds& bounds) {
  double total = LogNumbers::zero();
  double binomial = 0;
  for (int64_t k = 0; k <= bounds.max_open; ++k) {
    if (k >= bounds.min_open) {
      total = LogNumbers::add(total, binomial);
    }
    binomial += std::log2(
        static_cast<double>(bounds.branches - k) / static_cast<double>(k + 1));
  }
  return total;
}

Bounds bounds_of(const GateLayout& gate) {
  return {
      static_cast<int64_t>(gate.branch_names.size()),
      gate.min_open,
      gate.max_open};
}

// The product over all that lies in each branch.
template <class Numbers>
std::vector<typename Numbers::Number> inside_products(
    size_t branches,
    const std::vector<std::vector<int64_t>>& inside,
    const std::vector<typename Numbers::Number>& sizes) {
  std::vector<typename Numbers::Number> products(branches, Numbers::one());
  for (size_t i = 0; i < inside.size(); ++i) {
    for (const int64_t gate : inside[i]) {
      products[i] =
          Numbers::multiply(products[i], sizes[static_cast<size_t>(gate)]);
    }
  }
  return products;
}

void check_places(
    std::string_view method, const std::vector<GateLayout>& gates) {
  for (const GateLayout& gate : gates) {
    if (gate.places.size() < 2) {
      continue;
    }
    const auto describe = [&](const GatePlace& place) {
      const GateLayout& around = gates[static_cast<size_t>(place.gate)];
      return fmt::format(
          "branch '{}' of '{}'",
          around.branch_names[static_cast<size_t>(place.branch)],
          around.name);
    };
    TORCH_CHECK_VALUE(
        false,
        fmt::format(
            "PathSpace::{}: expected each gate in one place, got '{}' in {} "
            "and "
            "in {}, for which the number of paths is no product",
            method,
            gate.name,
            describe(gate.places[0]),
            describe(gate.places[1])));
  }
}

}  // namespace

uint64_t SpaceLayout::size() const {
  check_places("size", gates_);
  Count total = 1;
  for (const int64_t gate : always_) {
    total = ExactNumbers::multiply(total, sizes_[static_cast<size_t>(gate)]);
  }
  TORCH_CHECK_VALUE(
      total.has_value(),
      fmt::format(
          "PathSpace::size: expected a number of paths that fits 64 bits, got "
          "2^{:.2f}",
          log2_size()));
  return *total;
}

double SpaceLayout::log2_size() const {
  check_places("log2_size", gates_);
  double total = 0;
  for (const int64_t gate : always_) {
    total += log2_sizes_[static_cast<size_t>(gate)];
  }
  return total;
}

Path SpaceLayout::at(uint64_t index) const {
  const uint64_t count = size();
  TORCH_CHECK_INDEX(
      index < count,
      fmt::format(
          "PathSpace::at: expected an index in [0, {}), got {}", count, index));
  OpenSets sets(gates_.size());
  unrank_all(always_, index, sets);
  return make_path([&](int64_t gate, std::vector<int64_t>& open) {
    open.swap(sets[static_cast<size_t>(gate)]);
  });
}

void SpaceLayout::count() {
  for (const GateLayout& gate : gates_) {
    if (gate.places.size() > 1) {
      return;
    }
  }
  sizes_.resize(gates_.size());
  log2_sizes_.resize(gates_.size());
  // Backwards: what lies in a gate has a greater number.
  for (size_t i = gates_.size(); i > 0; --i) {
    count_gate(i - 1);
  }
}

void SpaceLayout::count_gate(size_t index) {
  const Bounds bounds = bounds_of(gates_[index]);
  const auto branches = static_cast<size_t>(bounds.branches);
  const auto& inside = inside_[index];
  Count& size = sizes_[index];
  size = inside.empty()
             ? plain_count(bounds)
             : nested_count<ExactNumbers>(
                   inside_products<ExactNumbers>(branches, inside, sizes_),
                   bounds);
  double& log2_size = log2_sizes_[index];
  if (size) {
    log2_size = std::log2(static_cast<double>(*size));
  } else if (inside.empty()) {
    log2_size = plain_log2_count(bounds);
  } else {
    log2_size = nested_count<LogNumbers>(
        inside_products<LogNumbers>(branches, inside, log2_sizes_), bounds);
  }
}

void SpaceLayout::unrank_all(
    c10::IntArrayRef gates, uint64_t index, OpenSets& open) const {
  // Digits of mixed radix; the last gate's is the lowest.
  for (size_t i = gates.size(); i > 0; --i) {
    const int64_t gate = gates[i - 1];
    const uint64_t radix = *sizes_[static_cast<size_t>(gate)];
    unrank_gate(gate, index % radix, open);
    index /= radix;
  }
}

void SpaceLayout::unrank_gate(
    int64_t gate, uint64_t index, OpenSets& open) const {
  const auto number = static_cast<size_t>(gate);
  const Bounds bounds = bounds_of(gates_[number]);
  const auto& inside = inside_[number];
  const auto products = inside_products<ExactNumbers>(
      static_cast<size_t>(bounds.branches), inside, sizes_);
  std::vector<Row<ExactNumbers>> rows{last_row<ExactNumbers>()};
  for (int64_t i = bounds.branches - 1; i >= 0; --i) {
    rows.push_back(row_before<ExactNumbers>(
        i, products[static_cast<size_t>(i)], rows.back(), bounds));
  }
  std::reverse(rows.begin(), rows.end());

  int64_t left = bounds.min_open;  // how many branches are still to be opened
  while (index >= *rows[0].at(left)) {
    index -= *rows[0].at(left);
    ++left;
  }
  for (size_t i = 0; left > 0; ++i) {
    // With branch i open, the later branches can be set in this many ways.
    const uint64_t later = *rows[i + 1].at(left - 1);
    const uint64_t with = *products[i] * later;
    if (index >= with) {
      index -= with;
      continue;
    }
    open[number].push_back(static_cast<int64_t>(i));
    if (!inside.empty()) {
      unrank_all(inside[i], index / later, open);
    }
    index %= later;
    --left;
  }
}

}  // namespace gatedpaths
