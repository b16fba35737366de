// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/path.hpp>

#include <c10/util/FunctionRef.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace gatedpaths {

/// A branch that a gate lies in.
struct GatePlace {
  int64_t gate = 0;    ///< The number of the gate around it.
  int64_t branch = 0;  ///< Which of that gate's branches.

  auto operator<=>(const GatePlace&) const = default;
};

/// What a path space knows of one gate.
struct GateLayout {
  /// The dotted path of its module; `"."` where that is the root itself.
  std::string name{};
  std::vector<std::string> branch_names{};  ///< In order.
  int64_t min_open = 1;                     ///< The fewest open branches.
  int64_t max_open = 1;                     ///< The most open branches.
  /// The branches that it lies in: reached where any of them is open. Empty for
  /// a gate that is always reached.
  std::vector<GatePlace> places{};

  bool operator==(const GateLayout&) const = default;
};

/// The structure of a path space without the network: which gates there are,
/// the names and bounds of their branches, and which gate lies in which branch.
///
/// Paths are counted, listed, written and read here; `PathSpace` adds the
/// network to it and offers the same under the same names. A layout never
/// changes, so all its functions may be called from many threads at once, and
/// `PathSpace` and samplers share one: a sampler goes on working when the
/// network is gone.
///
/// Messages name the function as one of `PathSpace`, where users mostly call
/// it.
class GATEDPATHS_EXPORT SpaceLayout {
 public:
  /// Writes the open branches of one gate, ascending, into an empty vector.
  using Choose = c10::function_ref<void(int64_t, std::vector<int64_t>&)>;

  /// A space with these gates.
  ///
  /// Throws: `c10::ValueError` for two gates of one name, a gate without a
  /// branch, two branches of one name in a gate, a branch without one, bounds
  /// for which not `0 <= min_open <= max_open <= branch_names.size()` and
  /// `max_open
  /// >= 1`, or a place that is not in a branch of an earlier gate.
  explicit SpaceLayout(std::vector<GateLayout> gates);

  SpaceLayout(const SpaceLayout&) = delete;
  SpaceLayout& operator=(const SpaceLayout&) = delete;

  /// The gates, in order; a gate comes after those that it lies in.
  const std::vector<GateLayout>& gates() const& noexcept { return gates_; }
  /// \overload
  std::vector<GateLayout> gates() const&& { return gates_; }

  /// The number of gates.
  int64_t num_gates() const noexcept {
    return static_cast<int64_t>(gates_.size());
  }

  /// The gate of this number.
  ///
  /// Throws: `c10::IndexError` where there is none.
  const GateLayout& gate(int64_t index) const&;
  /// \overload
  GateLayout gate(int64_t index) const&& { return gate(index); }

  /// The number of the gate of this name.
  ///
  /// Throws: `c10::IndexError`, with the names, where there is none.
  int64_t gate_index(std::string_view name) const;

  /// See `PathSpace::size`.
  uint64_t size() const;

  /// See `PathSpace::log2_size`.
  double log2_size() const;

  /// See `PathSpace::at`.
  Path at(uint64_t index) const;

  /// See `PathSpace::to_string`.
  std::string to_string(const Path& path) const;

  /// See `PathSpace::parse`.
  Path parse(std::string_view text) const;

  /// See `PathSpace::hash`.
  uint64_t hash() const noexcept { return hash_; }

  /// The path that `choose` makes. It is called once for each gate that the
  /// choices before it reach, ascending, as `choose(gate, open)`, and pushes
  /// that gate's open branches, ascending, onto the empty `open`. This is what
  /// samplers are written with; it takes time in the number of reached gates
  /// (times its logarithm) and open branches.
  ///
  /// Example, everything open as far as allowed:
  /// ```
  /// Path largest = layout.make_path([&](int64_t gate, auto& open) {
  ///   open.resize(layout.gate(gate).max_open);
  ///   std::iota(open.begin(), open.end(), 0);
  /// });
  /// ```
  ///
  /// Throws: `c10::ValueError` where `open` is not ascending or its length is
  /// outside the gate's bounds, `c10::IndexError` for a branch that is not
  /// there.
  Path make_path(Choose choose) const;

  /// As `make_path`, for looking at what ran: open sets outside of the gates'
  /// bounds are taken as they are. The path belongs to no space, so that it
  /// cannot be applied.
  Path make_unbounded_path(Choose choose) const;

  /// Throws the error for a path of another space, in the name of `method`.
  void check_path(std::string_view method, const Path& path) const;

  /// Whether names, bounds and nesting are all the same.
  bool operator==(const SpaceLayout& other) const {
    return gates_ == other.gates_;
  }

 private:
  using OpenSets = std::vector<std::vector<int64_t>>;  // by gate

  void check_gate(size_t index) const;
  void check_bounds(int64_t index, c10::IntArrayRef open) const;
  void check_choice(int64_t index, c10::IntArrayRef open) const;
  Path walk(Choose choose, bool bounded) const;
  void nest();
  void count();
  void count_gate(size_t index);
  void unrank_gate(int64_t gate, uint64_t index, OpenSets& open) const;
  void unrank_all(c10::IntArrayRef gates, uint64_t index, OpenSets& open) const;

  std::vector<GateLayout> gates_;
  std::unordered_map<std::string_view, int64_t> index_of_;  // into gates_
  uint64_t hash_ = 0;

  std::vector<int64_t> always_;  // the gates that are always reached
  // By gate and branch, what lies in it; no branch where nothing does.
  std::vector<std::vector<std::vector<int64_t>>> inside_;

  // By gate, the ways to set it and all that is inside; none above 64 bits.
  // Empty where a gate has several places.
  std::vector<std::optional<uint64_t>> sizes_;
  std::vector<double> log2_sizes_;
};

}  // namespace gatedpaths
