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
#include <memory>
#include <optional>
#include <vector>

namespace gatedpaths {

/// Options of `PredictorSearch`.
struct PredictorSearchOptions {
  /// How many results there are to be before it predicts. Default: 20.
  TORCH_ARG(int64_t, initial) = 20;

  /// How many paths it chooses from. Default: 200.
  TORCH_ARG(int64_t, candidates) = 200;

  /// How many results it learns from at most. Default: 300.
  TORCH_ARG(int64_t, max_results) = 300;
};

/// Learns from what it was told which values other paths will have, and asks
/// for the one from which the most is to be expected.
///
/// Until `initial` paths have values, it asks for random ones, as
/// `RandomSearch` does. Then, for each ask, it fits a Gaussian process to the
/// normal scores of the values, so that a few that are far off do not matter;
/// two paths are alike by the cosine of their open sets, as a mean over gates.
/// Of `candidates` paths that may be asked for, it gives the one with the
/// largest expected improvement over the best. Half of them are mutations of
/// the ten best paths, in one gate or two, the others random ones. Paths that
/// are pending count as if they had the value that is expected of them, so that
/// many asks at once differ. Of more than `max_results` results, it learns from
/// the best half and the latest half of that number.
///
/// The linear algebra is LibTorch's (`linalg_cholesky` and triangular solves,
/// in double on the CPU): a fit is a dozen factorisations of a matrix as wide
/// as there are results. What is asked for is the same to the bit on one
/// machine with one number of threads. An ask takes time in the cube of the
/// number of results, up to `max_results`: it is for values that take seconds
/// or more to find out.
///
/// Example:
/// ```
/// gatedpaths::PredictorSearch strategy(space, /*seed=*/7);
/// ```
class GATEDPATHS_EXPORT PredictorSearch : public SearchStrategy {
 public:
  /// Searches a `PathSpace`, or its `layout()` without a network.
  ///
  /// Throws: `c10::ValueError` for a null `layout`, not one objective, a budget
  /// of another space, or options for which not `initial >= 2`, `candidates >=
  /// 2` and `max_results >= initial`.
  PredictorSearch(
      std::shared_ptr<const SpaceLayout> layout,
      uint64_t seed,
      SearchOptions options = {},
      const PredictorSearchOptions& predictor = {});

 protected:
  std::optional<Path> propose(uint64_t step) override;
  void learn(size_t result) override;
  void forget() override { results_.clear(); }

 private:
  std::vector<size_t> best_results(size_t count) const;
  std::vector<size_t> results_to_learn() const;
  std::vector<Path> candidates(uint64_t step) const;

  size_t initial_;
  size_t candidates_;
  size_t max_results_;
  std::vector<size_t> results_;  // those with values
};

}  // namespace gatedpaths
