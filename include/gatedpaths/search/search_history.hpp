// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/space_layout.hpp>
#include <gatedpaths/search/search_options.hpp>
#include <gatedpaths/search/search_strategy.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

namespace gatedpaths {
namespace detail {

class JsonLines;

}  // namespace detail

/// What was found out about one path.
struct SearchRecord {
  Path path{};                   ///< The path.
  std::vector<double> values{};  ///< One for each objective; none: a failure.
  double cost = 0;               ///< What the path costs, in a unit of yours.
  double seconds = 0;            ///< How long it took to find out.
  int64_t rank = 0;              ///< Which process did.
  int64_t length = 0;            ///< For how long it was trained.
  uint64_t seed = 0;             ///< The strategy's; see `SearchHistory::tell`.
  uint64_t ask = 0;    ///< The number of the path's ask; 0: was not asked for.
  uint64_t asked = 0;  ///< How many paths were asked for until then.

  bool operator==(const SearchRecord&) const = default;
};

/// All that a search has found out, in order; where a file is given, in JSON
/// lines that are only ever appended to.
///
/// The file's first line names the space's hash and the objectives, each other
/// one is a record, on its way to the disk when `add` or `tell` returns:
/// `{"path":"a=0;b=2","values":[0.91],"cost":3e+08,"seconds":1.5,"rank":0,
/// "length":0,"seed":7,"ask":3,"asked":8}`. A last line that was cut short, as
/// by a crash, is dropped with a warning; the file is otherwise left as it is
/// until the next record. One process writes a file; of several ranks, the
/// first does for all.
///
/// A search that is told through its history (`tell`) goes on exactly after an
/// end at any moment: `replay` brings a new strategy to where the last record
/// left it, since records say how many paths were asked for until then. Paths
/// that were being evaluated are `SearchStrategy::pending` again.
///
/// Example:
/// ```
/// gatedpaths::SearchHistory history(
///     space, {{"accuracy"}}, "search.jsonl");
/// gatedpaths::RegularizedEvolution strategy(space, /*seed=*/7);
/// history.replay(strategy);                 // of a run that was killed
/// while (history.records().size() < 500) {
///   auto paths = strategy.pending();
///   for (const auto& path : paths.empty() ? strategy.ask(8) : paths) {
///     history.tell(strategy, {.path = path, .values = {accuracy_of(path)}});
///   }
/// }
/// std::cout << space.to_string(history.records()[*history.best()].path);
/// ```
class GATEDPATHS_EXPORT SearchHistory {
 public:
  /// An empty history in memory.
  ///
  /// Throws: `c10::ValueError` for a null `layout` or no objective.
  explicit SearchHistory(
      std::shared_ptr<const SpaceLayout> layout,
      std::vector<Objective> objectives = {Objective{}});

  /// The history in a file, which need not be there yet.
  ///
  /// Throws: `c10::ValueError` for a null `layout`, no objective, a file of
  /// another space or other objectives, or with a line that is no record: with
  /// a value that is not finite, say; `c10::Error` where the file cannot be
  /// read.
  SearchHistory(
      std::shared_ptr<const SpaceLayout> layout,
      std::vector<Objective> objectives,
      std::filesystem::path file);

  /// Takes all that the other one has, its file included.
  SearchHistory(SearchHistory&& other) noexcept;
  /// \overload
  SearchHistory& operator=(SearchHistory&& other) noexcept;
  ~SearchHistory();

  /// Appends a record.
  ///
  /// Throws: `c10::ValueError` for a path of another space, another number of
  /// values (but none, for a failure), a value, cost or time that is not
  /// finite; `c10::Error` where the file cannot be written. It is then as it
  /// was.
  void add(SearchRecord record);

  /// Appends a record, with the strategy's seed, the number of the path's ask
  /// and that of all asks, and then tells the strategy.
  ///
  /// Throws: as `add`, and `c10::ValueError` for a strategy of another space or
  /// other objectives.
  void tell(SearchStrategy& strategy, SearchRecord record);

  /// Makes a new strategy ask and be told as the records say.
  ///
  /// Throws: `c10::ValueError` for a strategy of another space or other
  /// objectives, one that has asked or was told, or one that does not ask for
  /// what the records say: of another class, seed or other options. In the last
  /// case it is good for nothing afterwards.
  void replay(SearchStrategy& strategy) const;

  /// Tells a strategy of all records, as of paths that it did not ask for: so
  /// that another search starts from what is known.
  ///
  /// Throws: `c10::ValueError` for a strategy of another space or other
  /// objectives.
  void teach(SearchStrategy& strategy) const;

  /// The records, in order.
  const std::vector<SearchRecord>& records() const& noexcept {
    return records_;
  }
  /// \overload
  std::vector<SearchRecord> records() const&& { return records_; }

  /// What the values are.
  const std::vector<Objective>& objectives() const& noexcept {
    return objectives_;
  }
  /// \overload
  std::vector<Objective> objectives() const&& { return objectives_; }

  /// The structure of the space.
  const std::shared_ptr<const SpaceLayout>& layout() const& noexcept {
    return layout_;
  }
  /// \overload
  std::shared_ptr<const SpaceLayout> layout() const&& { return layout_; }

  /// Which record has the best value of an objective, the first of equal ones;
  /// none where all have failed.
  ///
  /// Throws: `c10::IndexError` where there is no such objective.
  std::optional<size_t> best(size_t objective = 0) const;

  /// After each record, the best value so far; before the first value, the
  /// infinity that any value is better than.
  ///
  /// Throws: `c10::IndexError` where there is no such objective.
  std::vector<double> best_so_far(size_t objective = 0) const;

  /// After each record, how far the best value so far is from `optimum`: 0
  /// where it is found, below 0 where it is surpassed, infinity before the
  /// first value.
  ///
  /// Throws: `c10::IndexError` where there is no such objective;
  /// `c10::ValueError` for an optimum that is not finite.
  std::vector<double> regret(double optimum, size_t objective = 0) const;

  /// The records that no other one is as good as in each objective and better
  /// than in one; of equal ones the first. In the order of the records; time in
  /// their number times that of the front.
  std::vector<size_t> pareto_front() const;

 private:
  void check(const SearchRecord& record, const char* method) const;
  void check_strategy(const SearchStrategy& strategy, const char* method) const;
  void check_objective(size_t objective, const char* method) const;
  double score(size_t record, size_t objective) const;

  std::shared_ptr<const SpaceLayout> layout_;
  std::vector<Objective> objectives_;
  std::vector<SearchRecord> records_;
  std::unique_ptr<detail::JsonLines> lines_;  // null without a file
};

}  // namespace gatedpaths
