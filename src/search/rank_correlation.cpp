// SPDX-License-Identifier: MIT
#include <gatedpaths/search/rank_correlation.hpp>

#include <gatedpaths/gates/stream_seed.hpp>

#include "../random/counter_random.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

namespace gatedpaths {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// Of each value, how many smaller ones there are among those that differ.
std::vector<size_t> dense_ranks(c10::ArrayRef<double> values) {
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  std::vector<size_t> ranks;
  ranks.reserve(values.size());
  for (const double value : values) {
    ranks.push_back(static_cast<size_t>(
        std::lower_bound(sorted.begin(), sorted.end(), value) -
        sorted.begin()));
  }
  return ranks;
}

size_t num_ranks(const std::vector<size_t>& ranks) {
  return *std::max_element(ranks.begin(), ranks.end()) + 1;
}

/// The pairs, in the order of x: a sample is how often each of them is in it,
/// so that nothing has to be sorted again.
struct RankedPairs {
  RankedPairs(c10::ArrayRef<double> x, c10::ArrayRef<double> y) {
    const auto x_ranks = dense_ranks(x);
    const auto y_ranks = dense_ranks(y);
    std::vector<size_t> order(x.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return x_ranks[a] < x_ranks[b];
    });
    for (const auto i : order) {
      x_rank.push_back(x_ranks[i]);
      y_rank.push_back(y_ranks[i]);
    }
    x_ranks_count = num_ranks(x_rank);
    y_ranks_count = num_ranks(y_rank);
  }

  size_t size() const { return x_rank.size(); }

  std::vector<size_t> x_rank;
  std::vector<size_t> y_rank;
  size_t x_ranks_count = 0;
  size_t y_ranks_count = 0;
};

using Counts = std::vector<int64_t>;

Counts counts_by_rank(
    const std::vector<size_t>& ranks, size_t ranks_count, const Counts& times) {
  Counts counts(ranks_count);
  for (size_t i = 0; i < ranks.size(); ++i) {
    counts[ranks[i]] += times[i];
  }
  return counts;
}

double pairs_in(int64_t count) {
  return static_cast<double>(count) * static_cast<double>(count - 1) / 2;
}

double tied_pairs(const Counts& counts) {
  double pairs = 0;
  for (const auto count : counts) {
    pairs += pairs_in(count);
  }
  return pairs;
}

/// Sums of counts below a rank, each in the logarithm of their number (Fenwick,
/// 1994).
class RunningCounts {
 public:
  explicit RunningCounts(size_t ranks) : sums_(ranks + 1) {}

  void add(size_t rank, int64_t count) {
    total_ += count;
    for (auto i = rank + 1; i < sums_.size(); i += i & (0 - i)) {
      sums_[i] += count;
    }
  }

  int64_t below(size_t rank) const {
    int64_t sum = 0;
    for (auto i = rank; i > 0; i -= i & (0 - i)) {
      sum += sums_[i];
    }
    return sum;
  }

  int64_t total() const { return total_; }

 private:
  Counts sums_;
  int64_t total_ = 0;
};

/// Pairs of pairs in the same order less those in another: by merging into a
/// sorted order, as Knight (1966) counts them, with a tree for the merge.
double concordance(const RankedPairs& pairs, const Counts& times) {
  RunningCounts before(pairs.y_ranks_count);
  int64_t sum = 0;
  for (size_t begin = 0; begin < pairs.size();) {
    auto end = begin;
    for (; end < pairs.size() && pairs.x_rank[end] == pairs.x_rank[begin];
         ++end) {
      if (times[end] > 0) {
        const auto y = pairs.y_rank[end];
        const auto above = before.total() - before.below(y + 1);
        sum += times[end] * (before.below(y) - above);
      }
    }
    for (; begin < end; ++begin) {
      before.add(pairs.y_rank[begin], times[begin]);
    }
  }
  return static_cast<double>(sum);
}

/// Roots and quotients are rounded, and may end beyond the ends.
double rounded(double correlation) {
  return std::clamp(correlation, -1.0, 1.0);
}

double tau_of(const RankedPairs& pairs, const Counts& times) {
  const auto all =
      pairs_in(std::accumulate(times.begin(), times.end(), int64_t{0}));
  const auto x = all - tied_pairs(counts_by_rank(
                           pairs.x_rank, pairs.x_ranks_count, times));
  const auto y = all - tied_pairs(counts_by_rank(
                           pairs.y_rank, pairs.y_ranks_count, times));
  return x == 0 || y == 0
             ? kNan
             : rounded(
                   concordance(pairs, times) / (std::sqrt(x) * std::sqrt(y)));
}

/// By rank, the place that its values share, from the middle of all.
std::vector<double> centred_places(const Counts& counts) {
  const auto all = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  std::vector<double> places;
  places.reserve(counts.size());
  int64_t before = 0;
  for (const auto count : counts) {
    places.push_back(
        static_cast<double>(before) + static_cast<double>(count - all) / 2);
    before += count;
  }
  return places;
}

double rho_of(const RankedPairs& pairs, const Counts& times) {
  const auto x =
      centred_places(counts_by_rank(pairs.x_rank, pairs.x_ranks_count, times));
  const auto y =
      centred_places(counts_by_rank(pairs.y_rank, pairs.y_ranks_count, times));
  double xx = 0;
  double yy = 0;
  double xy = 0;
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto weight = static_cast<double>(times[i]);
    const auto of_x = x[pairs.x_rank[i]];
    const auto of_y = y[pairs.y_rank[i]];
    xx += weight * of_x * of_x;
    yy += weight * of_y * of_y;
    xy += weight * of_x * of_y;
  }
  return xx == 0 || yy == 0 ? kNan
                            : rounded(xy / (std::sqrt(xx) * std::sqrt(yy)));
}

/// The value below which this part of them is; between two, what lies there.
double quantile(const std::vector<double>& sorted, double part) {
  if (sorted.empty()) {
    return kNan;
  }
  const auto place = part * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const auto above = std::min(below + 1, sorted.size() - 1);
  const auto rest = place - static_cast<double>(below);
  return sorted[below] + rest * (sorted[above] - sorted[below]);
}

template <class Correlation>
RankCorrelation with_interval(
    std::string_view method,
    c10::ArrayRef<double> x,
    c10::ArrayRef<double> y,
    const BootstrapOptions& options,
    const Correlation& correlation) {
  TORCH_CHECK_VALUE(
      x.size() == y.size() && x.size() >= 2,
      fmt::format(
          "{}: expected as many values on both sides, at least 2, got {} and "
          "{}",
          method,
          x.size(),
          y.size()));
  for (size_t i = 0; i < x.size(); ++i) {
    TORCH_CHECK_VALUE(
        !std::isnan(x[i]) && !std::isnan(y[i]),
        fmt::format(
            "{}: expected values that have an order, got {} and {} as pair {}",
            method,
            x[i],
            y[i],
            i));
  }
  TORCH_CHECK_VALUE(
      options.resamples() >= 0,
      fmt::format(
          "{}: expected resamples of at least 0, got {}",
          method,
          options.resamples()));
  TORCH_CHECK_VALUE(
      options.level() > 0 && options.level() < 1,
      fmt::format(
          "{}: expected a level above 0 and below 1, got {}",
          method,
          options.level()));
  const RankedPairs pairs(x, y);
  const auto seed = stream_seed(options.seed(), "bootstrap");
  std::vector<double> values;
  for (int64_t resample = 0; resample < options.resamples(); ++resample) {
    detail::CounterRandom random(seed, static_cast<uint64_t>(resample), 0);
    Counts times(pairs.size());
    for (size_t i = 0; i < pairs.size(); ++i) {
      ++times[random.below(pairs.size())];
    }
    const auto value = correlation(pairs, times);
    if (!std::isnan(value)) {
      values.push_back(value);
    }
  }
  std::sort(values.begin(), values.end());
  return {
      .value = correlation(pairs, Counts(pairs.size(), 1)),
      .low = quantile(values, (1 - options.level()) / 2),
      .high = quantile(values, (1 + options.level()) / 2)};
}

}  // namespace

RankCorrelation kendall_tau(
    c10::ArrayRef<double> x,
    c10::ArrayRef<double> y,
    const BootstrapOptions& options) {
  return with_interval("kendall_tau", x, y, options, tau_of);
}

RankCorrelation spearman_rho(
    c10::ArrayRef<double> x,
    c10::ArrayRef<double> y,
    const BootstrapOptions& options) {
  return with_interval("spearman_rho", x, y, options, rho_of);
}

}  // namespace gatedpaths
