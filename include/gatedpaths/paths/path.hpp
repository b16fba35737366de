// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <c10/util/ArrayRef.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <vector>

namespace gatedpaths {

/// One gate's part of a path: its number in the space, and which of its
/// branches are open, ascending. `open` refers to the path that it came from.
struct GateSetting {
  int64_t gate = 0;         ///< The gate's number in the space.
  c10::IntArrayRef open{};  ///< Its open branches, ascending.
};

/// One way through a network: an open set for each gate that is reached. In
/// architecture search: an architecture, or a subnet.
///
/// A plain value: it can be copied, compared, hashed, and kept in a set. It
/// knows the hash of the space that it belongs to, and nothing of a network.
///
/// A gate inside a closed branch is not reached, and so not a part of the path:
/// two settings of a network that differ in such gates only are the same path.
///
/// Paths are made by a `PathSpace` (`at`, `parse`, `current`) and by samplers.
/// Memory, copies and comparisons take time in the number of reached gates and
/// open branches.
///
/// What it gives of a path that is kept refers to that path. Of a path that is
/// gone at the end of the expression (`sampler.next().open_branches(0)`) it
/// gives a copy, or, as an iterator, nothing that compiles.
///
/// Example:
/// ```
/// for (const auto& [gate, open] : space.current()) {
///   std::cout << space.gate_name(gate) << ": " << open << "\n";
/// }
/// ```
class GATEDPATHS_EXPORT Path {
 public:
  class Iterator;

  /// A path of no space: no gate, and equal to no path of a space.
  Path() = default;

  /// The hash of the space that this path belongs to; 0 for none.
  uint64_t space_hash() const noexcept { return space_hash_; }

  /// The number of gates that are reached.
  int64_t size() const noexcept { return static_cast<int64_t>(gates_.size()); }

  /// The settings of the reached gates, ascending by gate.
  Iterator begin() const& noexcept;
  /// \overload
  Iterator end() const& noexcept;
  /// Not of a path that is about to go: the iterator would refer to it.
  Iterator begin() const&& = delete;
  /// \overload
  Iterator end() const&& = delete;

  /// The numbers of the reached gates, ascending.
  c10::IntArrayRef gates() const& noexcept { return gates_; }
  /// \overload
  std::vector<int64_t> gates() const&& { return gates_; }

  /// Whether the gate is reached.
  bool reaches(int64_t gate) const noexcept;

  /// The open branches of a reached gate, ascending.
  ///
  /// Throws: `c10::IndexError` where the gate is not reached.
  c10::IntArrayRef open_branches(int64_t gate) const&;
  /// \overload
  std::vector<int64_t> open_branches(int64_t gate) const&& {
    return open_branches(gate).vec();  // of the path by its name: the view
  }

  /// A hash of the whole path, the same in every process.
  uint64_t hash() const noexcept;

  bool operator==(const Path&) const = default;

 private:
  friend class SpaceLayout;

  GateSetting setting(size_t position) const noexcept;
  void append(int64_t gate, c10::IntArrayRef open);

  uint64_t space_hash_ = 0;
  std::vector<int64_t> gates_;
  std::vector<size_t> ends_;  // where each gate's part of open_ ends
  std::vector<int64_t> open_;
};

/// Walks over the settings of a path. The path must outlive what it gives.
class Path::Iterator {
 public:
  using iterator_category = std::input_iterator_tag;  ///< Gives no references.
  using value_type = GateSetting;                     ///< What it gives.
  using difference_type = std::ptrdiff_t;             ///< Between positions.
  using pointer = void;                               ///< There is none.
  using reference = GateSetting;                      ///< A value, too.

  Iterator() = default;

  /// The setting itself, not a reference to one.
  GateSetting operator*() const noexcept { return path_->setting(position_); }

  /// Goes to the next gate.
  Iterator& operator++() noexcept {
    ++position_;
    return *this;
  }

  /// Goes to the next gate; gives where it was.
  Iterator operator++(int) noexcept {
    Iterator before = *this;
    ++position_;
    return before;
  }

  bool operator==(const Iterator&) const = default;

 private:
  friend class Path;

  Iterator(const Path* path, size_t position)
      : path_(path), position_(position) {}

  const Path* path_ = nullptr;
  size_t position_ = 0;
};

inline Path::Iterator Path::begin() const& noexcept { return {this, 0}; }

inline Path::Iterator Path::end() const& noexcept {
  return {this, gates_.size()};
}

}  // namespace gatedpaths

/// Lets `std::unordered_set<gatedpaths::Path>` and its like be used.
template <>
struct std::hash<gatedpaths::Path> {
  /// `path.hash()`.
  size_t operator()(const gatedpaths::Path& path) const noexcept {
    return static_cast<size_t>(path.hash());
  }
};
