// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/gates/draw_state.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/space_layout.hpp>
#include <gatedpaths/search/search_options.hpp>

#include <c10/util/ArrayRef.h>
#include <torch/serialize/archive.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace gatedpaths {
namespace detail {

class PathProposer;

}  // namespace detail

/// The base of search strategies: `ask` gives the paths to look at next, `tell`
/// takes what was found out about them.
///
/// | | asks for | objectives |
/// |---|---|---|
/// | `RandomSearch` | paths drawn uniformly | any number |
/// | `RegularizedEvolution` | mutations of the best of a few recent paths | 1 |
/// | `LocalSearch` | neighbours of the best path of a climb | 1 |
/// | `Nsga2` | children of paths near the Pareto front | any number |
/// | `SuccessiveHalving` | random paths; good ones again, trained longer | 1 |
/// | `PredictorSearch` | the path that a regression expects most of | 1 |
///
/// How paths are evaluated is no matter of a strategy: one by one, or many at
/// once, here or elsewhere. Results are told in any order; those that never
/// come (a machine is lost) hold nothing up, and `pending` names them. Where a
/// path has no value (it ran out of memory, its loss is nan), `tell_failure`
/// says so. Results of paths that were not asked for, as of another search, are
/// told in the same way: they are taken in as knowledge, also where they do not
/// keep the budget.
///
/// What is asked for keeps the budget (`SearchOptions::within`) and was neither
/// asked for nor told before, unless `repeats` is set. (`SuccessiveHalving`
/// asks again for more training.) When nothing is left, `ask` gives fewer paths
/// than it was asked for, then none, and `exhausted` is true: with one path
/// within the budget, that is after one. A strategy that fails to find a new
/// path by chance looks for one in order, so that none is left out, but of a
/// budget that more than 2^64 paths keep.
///
/// What is asked for is a function of (space, class, options, seed) and of the
/// asks and tells before, in their order: `ask(3)` is the same as three times
/// `ask()`. Random numbers are those of a counter (Philox4x32-10), which goes
/// one step on for each path; no generator of random numbers is touched. Not to
/// be used from several threads at once.
///
/// A search that was killed goes on exactly from what `save` wrote, or from its
/// `SearchHistory`.
///
/// Paths are kept: memory and the time of `save` grow with what was asked for
/// and told; the time of `ask` and `tell` does not, where a class does not say
/// so.
///
/// Example:
/// ```
/// gatedpaths::RegularizedEvolution strategy(space, /*seed=*/7);
/// for (int i = 0; i < 100; ++i) {
///   const auto paths = strategy.ask(8);
///   for (const auto& result :
///        gatedpaths::evaluate(net, space, paths, batches, accuracy)) {
///     strategy.tell(result.path, result.values);
///   }
/// }
/// ```
class GATEDPATHS_EXPORT SearchStrategy {
 public:
  virtual ~SearchStrategy();
  SearchStrategy(const SearchStrategy&) = delete;
  SearchStrategy& operator=(const SearchStrategy&) = delete;

  /// The next paths to evaluate, `count` of them, or fewer where no more are
  /// left.
  ///
  /// Throws: `c10::ValueError` for a `count` below 1; `c10::Error` after 2^64 -
  /// 1 paths.
  std::vector<Path> ask(int64_t count = 1);

  /// Takes the values of a path, one for each objective.
  ///
  /// Throws: `c10::ValueError` for a path of another space, another number of
  /// values, or one that is not finite; nothing has changed then.
  void tell(const Path& path, c10::ArrayRef<double> values);

  /// Takes note that a path has no values.
  ///
  /// Throws: `c10::ValueError` for a path of another space.
  void tell_failure(const Path& path);

  /// How many paths were asked for.
  uint64_t asked() const noexcept { return asked_; }

  /// How many results were told, failures included.
  uint64_t told() const noexcept { return told_.size(); }

  /// How many of them were failures.
  uint64_t failures() const noexcept { return failures_; }

  /// The paths that were asked for and not told since, in the order of the
  /// asks.
  std::vector<Path> pending() const;

  /// The number of the last ask for this path, counted from 1; 0 where it was
  /// not asked for.
  uint64_t ask_number(const Path& path) const;

  /// Whether the last ask found that no path is left.
  bool exhausted() const noexcept { return exhausted_; }

  /// The class's name, e.g. `"RandomSearch"`.
  const std::string& name() const& noexcept { return name_; }
  /// \overload
  std::string name() const&& { return name_; }

  /// What its asks depend on beside the space and the seed, in words:
  /// `RandomSearch(objectives=maximize value, within=all, repeats=false)`.
  const std::string& text() const& noexcept { return text_; }
  /// \overload
  std::string text() const&& { return text_; }

  /// What it was told by its maker.
  const SearchOptions& options() const& noexcept { return options_; }
  /// \overload
  SearchOptions options() const&& { return options_; }

  /// Names the stream of random numbers.
  uint64_t seed() const noexcept { return state_.seed; }

  /// The structure of the space.
  const std::shared_ptr<const SpaceLayout>& layout() const& noexcept {
    return layout_;
  }
  /// \overload
  std::shared_ptr<const SpaceLayout> layout() const&& { return layout_; }

  /// Writes all that the strategy needs to go on exactly, what is pending
  /// included. The archive may hold more.
  void save(torch::serialize::OutputArchive& archive) const;

  /// Goes on from what `save` wrote, its seed included.
  ///
  /// Throws: `c10::ValueError`, with both, where the archive is of another
  /// class, space or other options, or lacks something, or holds what no
  /// strategy wrote; nothing has changed then.
  void load(torch::serialize::InputArchive& archive);

 protected:
  /// `parameters` are those of the class, in words: `"population_size=64"`.
  ///
  /// Throws: `c10::ValueError` for a null `layout`, no objective, or a budget
  /// of another space.
  SearchStrategy(
      std::string name,
      std::shared_ptr<const SpaceLayout> layout,
      uint64_t seed,
      SearchOptions options,
      const std::string& parameters = {});

  /// For classes that take one objective: throws the `c10::ValueError` for
  /// others.
  void check_one_objective() const;

  /// The path of step `step`, made by `draw_path`, `mutate_path` or
  /// `new_or_not`; none where none is left. A function of what was told, and of
  /// what was asked for.
  virtual std::optional<Path> propose(uint64_t step) = 0;

  /// Takes in result number `result` (see `path_of`), which may be a failure.
  virtual void learn(size_t /*result*/) {}
  /// Forgets all results: the strategy is then as it was made.
  virtual void forget() {}

  /// Integers that the class needs to go on beside results and asks.
  virtual std::vector<int64_t> numbers() const { return {}; }
  /// Whether these can be such integers, after `results` results.
  virtual bool are_numbers(
      c10::IntArrayRef saved, int64_t /*results*/, int64_t /*paths*/) const {
    return saved.empty();
  }
  /// Goes on with them.
  virtual void set_numbers(c10::IntArrayRef /*saved*/) {}

  /// The path of a result.
  const Path& path_of(size_t result) const {
    return *known_[told_[result].path].path;
  }
  /// The number of the path of a result among those that are known.
  size_t known_of(size_t result) const { return told_[result].path; }
  /// The number of a path among those that are known; none where it is not.
  std::optional<size_t> find_known(const Path& path) const;
  /// A known path.
  const Path& known_path(size_t number) const { return *known_[number].path; }
  /// Whether a result is a failure.
  bool is_failure(size_t result) const { return told_[result].failed; }
  /// A value of a result, of which large ones are good: negated where the
  /// objective is to be minimised. Not of a failure.
  double score(size_t result, size_t objective = 0) const;
  /// The number of objectives.
  size_t num_objectives() const noexcept {
    return options_.objectives().size();
  }

  /// Whether the path may be asked for: new (or `repeats`), within the budget.
  bool may_ask(const Path& path) const;

  /// A path drawn uniformly from those that may be asked for; where 64 draws in
  /// a row were no such paths, the first one in the order of the space from the
  /// last draw on. None where none is left.
  std::optional<Path> draw_path(uint64_t step) const;

  /// A path that differs from `parent` in one gate that may be asked for; see
  /// `RegularizedEvolution`. Where there is none, what `draw_path` gives.
  std::optional<Path> mutate_path(const Path& parent, uint64_t step) const;

  /// Draws paths.
  const detail::PathProposer& proposer() const { return *proposer_; }

  /// The seed to draw with: one of this class alone.
  uint64_t stream() const;

 private:
  struct Known {
    const Path* path = nullptr;  // the key in numbers_
    uint64_t asked_as = 0;       // the number of its last ask, from 1
    int64_t waits = 0;           // asks without a result
  };
  struct Told {
    size_t path = 0;  // in known_
    bool failed = false;
  };
  struct Saved;
  // The standard library keeps what a hash that may throw gave, and would go
  // through whole paths again for one that may not.
  struct KeptHash {
    size_t operator()(const Path& path) const {
      return static_cast<size_t>(path.hash());
    }
  };

  size_t know(const Path& path);
  void mark_asked(const Path& path);
  void add_result(const Path& path, c10::ArrayRef<double> values);
  void check_path(std::string_view method, const Path& path) const;
  Saved read(torch::serialize::InputArchive& archive) const;

  std::string name_;
  std::string text_;
  std::shared_ptr<const SpaceLayout> layout_;
  SearchOptions options_;
  DrawState state_;
  std::unique_ptr<const detail::PathProposer> proposer_;

  // What is known, in the order in which it came to be; the map owns paths.
  std::unordered_map<Path, size_t, KeptHash> numbers_;
  std::vector<Known> known_;
  std::vector<Told> told_;
  std::vector<double> values_;  // by result and objective
  uint64_t asked_ = 0;
  uint64_t failures_ = 0;
  bool exhausted_ = false;
};

}  // namespace gatedpaths
