// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/hash_mix.hpp>
#include <gatedpaths/branches/detail/input_signature.hpp>
#include <gatedpaths/branches/detail/lru_map.hpp>
#include <gatedpaths/branches/detail/output_spec.hpp>
#include <gatedpaths/export.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace gatedpaths::detail {

/// How an output's sizes follow the numbers among the arguments, so that a
/// number that is another in every forward (a step, a temperature) costs no
/// call of a closed child in every forward.
///
/// It is found from what was really seen for some values: each size is the same
/// for all, or lies with one integer on a line. Since any other value may break
/// such a rule, it is trusted only once `kTrust` values fit it, and after it
/// has been trusted for as many values as were seen, another one is looked at.
/// Each time that it was trusted and then broken, it takes four times as many.
class GATEDPATHS_EXPORT ArgumentRule {
 public:
  using Numbers = InputSignature::Numbers;

  static constexpr uint64_t kTrust = 32;

  /// What the output is expected to be for these numbers; empty where nothing
  /// was seen, or the rule gives a negative size.
  std::optional<OutputSpec> expect(const Numbers& numbers) const;

  bool is_trusted() const noexcept {
    return seen_ >= needed_ && trusted_ < seen_;
  }
  /// Tells that the rule was trusted for one value without a look.
  void count_trusted() noexcept { ++trusted_; }

  /// Takes what the output, with its sizes as they follow the batch, was for
  /// these numbers.
  void see(const Numbers& numbers, const OutputSpec& output);

  /// Tells that something else came.
  void contradict();

 private:
  struct Seen {
    Numbers numbers;
    std::vector<int64_t> sizes;
  };
  // base + factor * numbers[number]
  struct Line {
    size_t number = 0;
    int64_t factor = 0;
    int64_t base = 0;
  };

  bool fits(const Seen& seen) const;
  bool find_lines();
  std::optional<Line> find_line(size_t size) const;

  OutputSpec frame_;  // all but the sizes
  std::deque<Seen> last_;
  std::vector<Line> lines_;
  uint64_t seen_ = 0;
  uint64_t trusted_ = 0;
  uint64_t needed_ = kTrust;
};

/// The rules for one kind of arguments: one for each state of the branch where
/// it is known how the output follows the batch, and one for each batch size.
class ArgumentRules {
 public:
  bool is_empty() const noexcept { return rules_.size() == 0; }
  ArgumentRule& of(uint64_t state) {
    ArgumentRule* rule = rules_.find(state);
    return rule != nullptr ? *rule : rules_.put(state, ArgumentRule());
  }
  ArgumentRule& of(uint64_t state, int64_t batch) {
    return of(hash_mix(state, static_cast<uint64_t>(batch)));
  }

 private:
  static constexpr size_t kMaxStates = 64;

  LruMap<uint64_t, ArgumentRule> rules_{kMaxStates};
};

}  // namespace gatedpaths::detail
