// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/argument_rule.hpp>

#include <algorithm>
#include <limits>
#include <utility>

namespace gatedpaths::detail {
namespace {

constexpr uint64_t kMaxNeeded = uint64_t{1} << 40U;

std::vector<int64_t> all_sizes(const OutputSpec& output) {
  std::vector<int64_t> sizes;
  for (const auto& tensor : output.tensors) {
    for (const SizeRule& size : tensor.sizes) {
      sizes.push_back(size.fixed);
      sizes.push_back(size.per_sample);
    }
  }
  return sizes;
}

// Hashes and the bits of floating numbers are as large as numbers get, and
// would overflow.
bool is_small(int64_t number) {
  constexpr int64_t kBound = int64_t{1} << 31U;
  return -kBound < number && number < kBound;
}

}  // namespace

std::optional<OutputSpec> ArgumentRule::expect(const Numbers& numbers) const {
  if (last_.empty()) {
    return std::nullopt;
  }
  OutputSpec output = frame_;
  const auto* line = lines_.data();
  const auto next = [&](bool may_be_negative) -> std::optional<int64_t> {
    const Line& one = *line++;
    if (one.factor == 0) {
      return one.base;
    }
    const int64_t number = numbers[one.number].value;
    if (!is_small(number)) {
      return std::nullopt;
    }
    const int64_t value = one.base + one.factor * number;
    return may_be_negative || value >= 0 ? std::optional(value) : std::nullopt;
  };
  for (auto& tensor : output.tensors) {
    for (SizeRule& size : tensor.sizes) {
      const auto fixed = next(size.per_sample != 0);
      const auto per_sample = next(/*may_be_negative=*/false);
      if (!fixed || !per_sample) {
        return std::nullopt;
      }
      size = {.fixed = *fixed, .per_sample = *per_sample};
    }
  }
  return output;
}

void ArgumentRule::see(const Numbers& numbers, const OutputSpec& output) {
  const auto again =
      std::find_if(last_.begin(), last_.end(), [&](const Seen& one) {
        return std::equal(
            one.numbers.begin(),
            one.numbers.end(),
            numbers.begin(),
            numbers.end(),
            [](const auto& a, const auto& b) { return a.value == b.value; });
      });
  Seen seen{numbers, all_sizes(output)};
  const bool same_frame = !last_.empty() && frame_.same_kind(output);
  if (again != last_.end()) {
    if (same_frame && again->sizes == seen.sizes) {
      return;  // tells nothing new
    }
    contradict();
  }
  frame_ = output;
  if (!last_.empty() && same_frame) {
    const bool fitted = fits(seen);
    last_.push_back(seen);
    if (last_.size() > kTrust) {
      last_.pop_front();
    }
    if (fitted || find_lines()) {
      seen_ = fitted ? seen_ + trusted_ + 1 : last_.size();
      trusted_ = 0;
      return;
    }
  }
  contradict();
  last_.push_back(std::move(seen));
  find_lines();
  seen_ = 1;
}

void ArgumentRule::contradict() {
  if (seen_ >= needed_) {
    needed_ = std::min(4 * needed_, kMaxNeeded);
  }
  last_.clear();
  lines_.clear();
  seen_ = 0;
  trusted_ = 0;
}

bool ArgumentRule::fits(const Seen& seen) const {
  for (size_t i = 0; i < lines_.size(); ++i) {
    const Line& line = lines_[i];
    const int64_t number =
        line.factor == 0 ? 0 : seen.numbers[line.number].value;
    if (!is_small(number) ||
        line.base + line.factor * number != seen.sizes[i]) {
      return false;
    }
  }
  return true;
}

bool ArgumentRule::find_lines() {
  std::vector<Line> lines;
  for (size_t i = 0; i < last_.front().sizes.size(); ++i) {
    const auto line = find_line(i);
    if (!line) {
      return false;
    }
    lines.push_back(*line);
  }
  lines_ = std::move(lines);
  return true;
}

std::optional<ArgumentRule::Line> ArgumentRule::find_line(size_t size) const {
  const auto fits_all = [&](const Line& line) {
    return std::all_of(last_.begin(), last_.end(), [&](const Seen& one) {
      const int64_t number =
          line.factor == 0 ? 0 : one.numbers[line.number].value;
      return is_small(number) &&
             line.base + line.factor * number == one.sizes[size];
    });
  };
  const Line constant{.base = last_.front().sizes[size]};
  if (fits_all(constant)) {
    return constant;
  }
  const Seen& first = last_.front();
  for (size_t n = 0; n < first.numbers.size(); ++n) {
    const int64_t from = first.numbers[n].value;
    const auto other =
        std::find_if(last_.begin(), last_.end(), [&](const Seen& one) {
          return one.numbers[n].value != from;
        });
    if (!first.numbers[n].is_int || other == last_.end() || !is_small(from) ||
        !is_small(other->numbers[n].value)) {
      continue;
    }
    Line line{.number = n};
    line.factor = (other->sizes[size] - first.sizes[size]) /
                  (other->numbers[n].value - from);
    line.base = first.sizes[size] - line.factor * from;
    if (fits_all(line)) {
      return line;
    }
  }
  return std::nullopt;
}

}  // namespace gatedpaths::detail
