// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/gate_values.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/paths/sampler.hpp>
#include <gatedpaths/paths/space_layout.hpp>

#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

namespace gatedpaths {

namespace detail {
class ConditionalSets;
}  // namespace detail

/// Opens each branch with a probability of its own, independently of all
/// others, given that each gate's bounds hold.
///
/// The probability of an open set S among those with `min_open` to `max_open`
/// branches is in proportion to the product of p_i over its members and of
/// 1 - p_j over the others: exactly what drawing all branches again and again
/// until the bounds hold would give, but in a single go. A p of 0 closes a
/// branch for good, and 1 opens it.
///
/// Where the bounds allow every set, a branch is open with probability p_i.
/// Where they do not, they shift it: of three branches with p = 0.1 and
/// `min_open` = 1, each is open with probability 0.1 / (1 - 0.9^3) = 0.37.
/// Where `min_open` and `max_open` are both 1, branch i is the open one with
/// probability in proportion to its odds p_i / (1 - p_i), so that one p for all
/// branches, whatever it is, makes the draw uniform; `WeightedSampler` says
/// directly what is meant there.
///
/// The gate with the number g draws at step n from a stream that is a function
/// of (seed, n, g) alone. A draw takes time in the number of branches of the
/// reached gates; the tables, made once, take N times the bound that is not
/// void for a gate of N branches.
///
/// Example:
/// ```
/// gatedpaths::BernoulliSampler sampler(space, /*seed=*/7, /*p=*/0.8);
/// gatedpaths::BernoulliSampler by_gate(
///     space, /*seed=*/7, {{"blocks.0", 0.9}, {"blocks.1", {0.5, 0.5, 1}}});
/// space.apply(sampler.next());
/// ```
class GATEDPATHS_EXPORT BernoulliSampler : public Sampler {
 public:
  /// Draws from a `PathSpace`, or from its `layout()` without a network, with
  /// the probability `p` for all branches of all gates.
  ///
  /// Throws: `c10::ValueError` for a `p` outside `[0, 1]`, where a `p` of 0 or
  /// 1 leaves no set that the bounds of a gate allow, and for a null `layout`.
  template <class P>
    requires std::is_arithmetic_v<P>
  BernoulliSampler(
      std::shared_ptr<const SpaceLayout> layout, uint64_t seed, P p)
      : BernoulliSampler(
            std::move(layout), seed, OneForAll{static_cast<double>(p)}) {}

  /// The probabilities by the name of the gate, for each of its branches or for
  /// all. A gate that is not named has 0.5: all sets that its bounds allow are
  /// equally likely. `{}` names none.
  ///
  /// Throws: `c10::IndexError` for a gate that does not exist;
  /// `c10::ValueError` for a number of probabilities that is not the number of
  /// branches, one outside `[0, 1]`, and where those of 0 or 1 leave no set
  /// that the bounds of a gate allow.
  BernoulliSampler(
      std::shared_ptr<const SpaceLayout> layout,
      uint64_t seed,
      const GateValues& probabilities);

  /// The path of step `step`.
  Path at(uint64_t step) const override;

 private:
  // `{}` makes none: it is to be the numbers of no gate.
  struct OneForAll {
    explicit OneForAll(double value) : p(value) {}
    double p;
  };

  BernoulliSampler(
      std::shared_ptr<const SpaceLayout> layout, uint64_t seed, OneForAll all);
  void set_probabilities(const std::vector<std::vector<double>>& all);

  std::shared_ptr<const std::vector<detail::ConditionalSets>> sets_;  // by gate
};

}  // namespace gatedpaths
