// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/space_layout.hpp>
#include <gatedpaths/search/search_options.hpp>
#include <gatedpaths/search/search_strategy.hpp>

#include <torch/arg.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

namespace gatedpaths {

/// Options of `RegularizedEvolution`.
struct RegularizedEvolutionOptions {
  /// How many paths live at a time. Default: 50.
  TORCH_ARG(int64_t, population_size) = 50;

  /// How many of them compete to be a parent. Default: 10.
  TORCH_ARG(int64_t, sample_size) = 10;
};

/// Evolution in which the oldest path dies, not the worst (Real et al.,
/// "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019,
/// arXiv 1802.01548): few lucky values last.
///
/// Until `population_size` paths have values, it asks for random ones, as
/// `RandomSearch` does. Then each path is the mutation of a parent: the best of
/// `sample_size` paths that are drawn from the population, with replacement
/// (the first of equal ones). Each path that is told enters the population,
/// also one that was not asked for, and the one that was told first leaves it.
/// One that has failed does not enter.
///
/// A mutation draws a gate uniformly from those that the parent reaches and
/// that have a choice, and its open set uniformly from its other sets; gates
/// that are reached anew draw theirs uniformly. Where the result does not keep
/// the budget, or is not new, the parent is mutated again, 16 times in all;
/// then, 16 times, what the mutation before gave, which leads away from the
/// parent. Where none of these may be asked for, it is a random path.
///
/// An ask takes time in `sample_size`, a tell takes constant time.
///
/// Example:
/// ```
/// gatedpaths::RegularizedEvolution strategy(
///     space, /*seed=*/7, gatedpaths::SearchOptions().within(affordable),
///     gatedpaths::RegularizedEvolutionOptions().population_size(100));
/// ```
class GATEDPATHS_EXPORT RegularizedEvolution : public SearchStrategy {
 public:
  /// Searches a `PathSpace`, or its `layout()` without a network.
  ///
  /// Throws: `c10::ValueError` for a null `layout`, not one objective, a budget
  /// of another space, or sizes below 1.
  RegularizedEvolution(
      std::shared_ptr<const SpaceLayout> layout,
      uint64_t seed,
      SearchOptions options = {},
      const RegularizedEvolutionOptions& evolution = {});

 protected:
  std::optional<Path> propose(uint64_t step) override;
  void learn(size_t result) override;
  void forget() override { population_.clear(); }

 private:
  size_t population_size_;
  int64_t sample_size_;
  std::deque<size_t> population_;  // results, the oldest in front
};

}  // namespace gatedpaths
