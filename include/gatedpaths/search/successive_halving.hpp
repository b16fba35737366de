// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/space_layout.hpp>
#include <gatedpaths/search/search_options.hpp>
#include <gatedpaths/search/search_strategy.hpp>

#include <c10/util/ArrayRef.h>
#include <torch/arg.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace gatedpaths {

/// Options of `SuccessiveHalving`.
struct SuccessiveHalvingOptions {
  /// How long a path is trained at first: steps, epochs, whatever you count.
  /// Default: 1.
  TORCH_ARG(int64_t, min_length) = 1;

  /// The longest that one is trained. Default: 27.
  TORCH_ARG(int64_t, max_length) = 27;

  /// One path of how many is trained on, and how many times longer. Default: 3.
  TORCH_ARG(int64_t, reduction) = 3;
};

/// Trains many paths for a short while, the best of them longer, the best of
/// those longer still: successive halving over the length of training, without
/// waiting (ASHA; Li et al., "A System for Massively Parallel Hyperparameter
/// Tuning", MLSys 2020, arXiv 1810.05934).
///
/// There is a rung for each length: `min_length`, and `reduction` times that of
/// the rung below, up to `max_length`. An ask gives the best path of a rung
/// that is among its first `1 / reduction` (rounded down, of equal values what
/// was told first) and was not asked for above it, of the highest rung that has
/// one; where none has, a new path for the lowest, drawn as by `RandomSearch`.
///
/// So a path is asked for again, once for each rung: whoever evaluates it looks
/// at `length(path)` between the ask and the tell, and trains it that long,
/// from the beginning or from where it was. A path that has failed goes no
/// further. What was not asked for counts as trained for `min_length`.
///
/// `exhausted` means that the space is, and that nothing is to be trained on:
/// more may be after a tell. Stop when enough was trained. An ask takes time in
/// the number of paths that were trained on, a tell in the results of a rung.
///
/// Example:
/// ```
/// gatedpaths::SuccessiveHalving strategy(space, /*seed=*/7);
/// for (int64_t steps = 0; steps < 1000;) {
///   const auto path = strategy.ask().at(0);
///   const int64_t length = strategy.length(path);
///   strategy.tell(path, {accuracy_after(path, length)});
///   steps += length;
/// }
/// ```
class GATEDPATHS_EXPORT SuccessiveHalving : public SearchStrategy {
 public:
  /// Searches a `PathSpace`, or its `layout()` without a network.
  ///
  /// Throws: `c10::ValueError` for a null `layout`, not one objective, a budget
  /// of another space, lengths for which not `1 <= min_length <= max_length`,
  /// or a `reduction` below 2.
  SuccessiveHalving(
      std::shared_ptr<const SpaceLayout> layout,
      uint64_t seed,
      SearchOptions options = {},
      const SuccessiveHalvingOptions& halving = {});

  /// The lengths of the rungs, ascending.
  const std::vector<int64_t>& lengths() const& noexcept { return lengths_; }
  /// \overload
  std::vector<int64_t> lengths() const&& { return lengths_; }

  /// How long a path is to be trained, all in all, before it is told: the
  /// length that it was last asked for; `min_length` where it was not.
  int64_t length(const Path& path) const;

 protected:
  std::optional<Path> propose(uint64_t step) override;
  void learn(size_t result) override;
  void forget() override;
  std::vector<int64_t> numbers() const override;
  bool are_numbers(
      c10::IntArrayRef saved, int64_t results, int64_t paths) const override;
  void set_numbers(c10::IntArrayRef saved) override;

 private:
  struct Entry {
    double score = 0;
    size_t path = 0;  // its number among the known ones
  };

  size_t rung_of(size_t path) const;
  void enter(size_t result, size_t rung);

  size_t reduction_;
  std::vector<int64_t> lengths_;
  std::vector<int64_t> asked_rungs_;       // by path; 0 above the end
  std::vector<int64_t> result_rungs_;      // by result
  std::vector<std::vector<Entry>> rungs_;  // the best in front
};

}  // namespace gatedpaths
