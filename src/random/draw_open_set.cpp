// SPDX-License-Identifier: MIT
#include "draw_open_set.hpp"

#include <c10/util/Exception.h>
#include <c10/util/SmallVector.h>

#include <algorithm>
#include <bit>
#include <numeric>

namespace gatedpaths::detail {
namespace {

// Calls `visit(size, weight)` for the sizes in [low, high], each weight being
// C(n, size) / C(n, likeliest), until `visit` returns true. Going outward from
// the likeliest size, the weights only fall: nothing overflows for any n, and
// the sizes left out, under 2^-80 each, are never drawn from 53 random bits.
template <class Visit>
void visit_sizes(int64_t n, int64_t low, int64_t high, Visit visit) {
  constexpr double kNever = 0x1p-80;
  const int64_t likeliest = std::clamp(n / 2, low, high);
  double weight = 1;
  for (int64_t k = likeliest; k <= high && weight >= kNever; ++k) {
    if (visit(k, weight)) {
      return;
    }
    weight = weight * static_cast<double>(n - k) / static_cast<double>(k + 1);
  }
  weight = 1;
  for (int64_t k = likeliest; k > low; --k) {
    weight = weight * static_cast<double>(k) / static_cast<double>(n - k + 1);
    if (weight < kNever || visit(k - 1, weight)) {
      return;
    }
  }
}

// The relative error of a size's probability is under 2^-51 times its distance
// to the likeliest size: the roundings of as many products and quotients.
int64_t draw_size(CounterRandom& random, int64_t n, int64_t low, int64_t high) {
  if (low == high) {
    return low;
  }
  double total = 0;
  visit_sizes(n, low, high, [&](int64_t, double weight) {
    total += weight;
    return false;
  });
  double left = random.uniform() * total;
  int64_t size = std::clamp(n / 2, low, high);  // where rounding eats the rest
  visit_sizes(n, low, high, [&](int64_t k, double weight) {
    if (left < weight) {
      size = k;
      return true;
    }
    left -= weight;
    return false;
  });
  return size;
}

// Floyd's algorithm; `insert(i)` says whether `i` was new.
template <class Insert>
void floyd(CounterRandom& random, int64_t n, int64_t size, Insert insert) {
  for (int64_t last = n - size; last < n; ++last) {
    const auto bound = static_cast<uint64_t>(last) + 1;
    if (!insert(static_cast<int64_t>(random.below(bound)))) {
      insert(last);
    }
  }
}

void draw_dense(
    CounterRandom& random,
    int64_t n,
    int64_t size,
    std::vector<int64_t>& open) {
  c10::SmallVector<uint64_t, 16> words(static_cast<size_t>((n + 63) / 64), 0);
  floyd(random, n, size, [&](int64_t i) {
    uint64_t& word = words[static_cast<size_t>(i / 64)];
    const uint64_t bit = uint64_t{1} << static_cast<unsigned>(i % 64);
    const bool is_new = (word & bit) == 0;
    word |= bit;
    return is_new;
  });
  for (size_t w = 0; w < words.size(); ++w) {
    for (uint64_t word = words[w]; word != 0; word &= word - 1) {
      open.push_back(static_cast<int64_t>(w) * 64 + std::countr_zero(word));
    }
  }
}

void draw_sparse(
    CounterRandom& random,
    int64_t n,
    int64_t size,
    std::vector<int64_t>& open) {
  floyd(random, n, size, [&](int64_t i) {
    const auto place = std::lower_bound(open.begin(), open.end(), i);
    const bool is_new = place == open.end() || *place != i;
    if (is_new) {
      open.insert(place, i);
    }
    return is_new;
  });
}

}  // namespace

void draw_open_set(
    CounterRandom& random,
    int64_t branches,
    int64_t min_open,
    int64_t max_open,
    std::vector<int64_t>& open) {
  TORCH_INTERNAL_ASSERT(
      0 <= min_open && min_open <= max_open && max_open <= branches);
  const int64_t size = draw_size(random, branches, min_open, max_open);
  open.clear();
  open.reserve(static_cast<size_t>(size));
  if (size == branches) {
    open.resize(static_cast<size_t>(size));
    std::iota(open.begin(), open.end(), 0);
  } else if (branches / 64 <= size) {
    // A word holds 64 branches, so there are no more words than open branches.
    draw_dense(random, branches, size, open);
  } else {
    draw_sparse(random, branches, size, open);
  }
}

}  // namespace gatedpaths::detail
