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

/// Options of `Nsga2`.
struct Nsga2Options {
  /// How many paths are parents at a time. Default: 30.
  TORCH_ARG(int64_t, population_size) = 30;

  /// How often a child has two parents, in `[0, 1]`. Default: 0.9.
  TORCH_ARG(double, crossover) = 0.9;
};

/// Evolution for several objectives, towards the whole Pareto front (Deb et
/// al., "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", IEEE
/// Transactions on Evolutionary Computation 6(2), 2002): fronts of paths that
/// do not beat each other, and within a front the crowding distance.
///
/// It asks for random paths, as `RandomSearch` does, until `population_size` of
/// them have values. Then these are the parents, and whenever as many results
/// more were told, those and the parents together are sorted, and the first
/// `population_size` are the parents from then on: by front, and the last front
/// that has room by crowding distance, the largest first (of equal ones, what
/// was told first). Of several results of a path the last one counts. What has
/// failed takes no part.
///
/// A child has two parents, each the better one of two that are drawn: it takes
/// each gate's open set from either, with equal chance, where both reach the
/// gate, else from the one that does, else one drawn uniformly. Without
/// crossover it is the first one's copy. Then each gate is set otherwise with
/// the chance 1 / (number of reached gates of the first parent that have a
/// choice), uniformly. Where the child is not new, or does not keep the budget,
/// another one is made, 16 in all; then it is a mutation of the first parent,
/// as in `RegularizedEvolution`.
///
/// An ask takes time in the number of gates; a tell takes constant time, but
/// where parents are chosen, time in `population_size` squared.
///
/// Example:
/// ```
/// gatedpaths::Nsga2 strategy(
///     space, /*seed=*/7,
///     gatedpaths::SearchOptions().objectives(
///         {{"accuracy"}, {"macs", gatedpaths::Direction::kMinimize}}));
/// ```
class GATEDPATHS_EXPORT Nsga2 : public SearchStrategy {
 public:
  /// Searches a `PathSpace`, or its `layout()` without a network.
  ///
  /// Throws: `c10::ValueError` for a null `layout`, no objective, a budget of
  /// another space, or options outside of their ranges.
  Nsga2(
      std::shared_ptr<const SpaceLayout> layout,
      uint64_t seed,
      SearchOptions options = {},
      const Nsga2Options& nsga2 = {});

 protected:
  std::optional<Path> propose(uint64_t step) override;
  void learn(size_t result) override;
  void forget() override;

 private:
  struct Parent {
    size_t result = 0;
    size_t front = 0;
    double crowding = 0;
  };

  void choose_parents();

  size_t population_size_;
  double crossover_;
  std::vector<Parent> parents_;
  std::vector<size_t> children_;  // results since parents were chosen
};

}  // namespace gatedpaths
