// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/lru_map.hpp>
#include <gatedpaths/branches/detail/output_spec.hpp>
#include <gatedpaths/export.hpp>

#include <cstdint>
#include <optional>
#include <utility>

namespace gatedpaths::detail {

/// What is known of the output of one branch in one state, for one kind of
/// input: what it was for some batch sizes, and from them how it follows the
/// batch.
///
/// That a size equals the batch, or is zero without samples, says little: it
/// may be a number of channels, or the batch's square. So a rule needs two
/// batch sizes, between which each size is the same or the batch's own, or
/// three that lie on one line. Where there is no such rule, each batch size is
/// known by itself. So is one sample: what squeezes drops that dim.
class GATEDPATHS_EXPORT KnownOutput {
 public:
  /// What is known for this batch size; null where nothing is. Valid until the
  /// next change.
  const OutputSpec* find(int64_t batch);

  /// How it follows the batch, where that is known.
  const OutputSpec* rule() const noexcept { return rule_ ? &*rule_ : nullptr; }
  void set_rule(OutputSpec rule) {
    rule_holds_for_one_ = rule.source == OutputSpec::Source::kDeclared;
    rule_ = std::move(rule);
  }

  /// Takes the rule for one sample, too, where nothing else is to be had.
  void settle_for_rule() noexcept { rule_holds_for_one_ = true; }

  /// Whether no rule holds for the batch sizes that are known.
  bool is_irregular() const noexcept { return is_irregular_; }

  /// Whether something else is known for this batch size, and not merely
  /// declared.
  bool contradicts(const OutputSpec& spec, int64_t batch);

  /// Takes what the output was for this batch size, with fixed sizes, in place
  /// of what was known for it.
  void add(OutputSpec spec, int64_t batch);

  /// Whether batches of other sizes were tried to find a rule.
  bool was_probed = false;

  /// The gate's forward in which the branch last ran.
  uint64_t ran_in = 0;

 private:
  static constexpr size_t kMaxBatches = 1024;

  void find_rule();
  bool rule_holds(int64_t batch) const;

  std::optional<OutputSpec> rule_;
  bool rule_holds_for_one_ = false;
  LruMap<int64_t, OutputSpec> by_batch_{kMaxBatches};
  bool is_irregular_ = false;
};

}  // namespace gatedpaths::detail
