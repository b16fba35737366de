// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <unordered_map>
#include <utility>

namespace gatedpaths::detail {

/// A map of bounded size: where it is full, what was not asked for the longest
/// makes room. Finding and inserting take constant time. Values stay where they
/// are until they make room.
///
/// A copy is empty: what one module remembers is not another's.
template <class Key, class Value, class Hash = std::hash<Key>>
class LruMap {
 public:
  explicit LruMap(size_t capacity) : capacity_(capacity) {}
  LruMap(const LruMap& other) : capacity_(other.capacity_) {}
  LruMap& operator=(const LruMap& other) {
    if (this != &other) {
      clear();
      capacity_ = other.capacity_;
    }
    return *this;
  }
  LruMap(LruMap&&) noexcept = default;
  LruMap& operator=(LruMap&&) noexcept = default;
  ~LruMap() = default;

  size_t size() const noexcept { return items_.size(); }

  /// The value, which becomes the most recent one; null where there is none.
  Value* find(const Key& key) {
    const auto found = places_.find(&key);
    if (found == places_.end()) {
      return nullptr;
    }
    items_.splice(items_.begin(), items_, found->second);
    return &found->second->second;
  }

  /// Puts a value in place of what the key had.
  Value& put(const Key& key, Value value) {
    if (Value* known = find(key)) {
      *known = std::move(value);
      return *known;
    }
    items_.emplace_front(key, std::move(value));
    places_.emplace(&items_.front().first, items_.begin());
    if (items_.size() > capacity_) {
      places_.erase(&items_.back().first);
      items_.pop_back();
    }
    return items_.front().second;
  }

  void clear() noexcept {
    places_.clear();
    items_.clear();
  }

  /// Most recent first.
  auto begin() const noexcept { return items_.begin(); }
  auto end() const noexcept { return items_.end(); }

 private:
  using Items = std::list<std::pair<const Key, Value>>;

  struct HashOf {
    size_t operator()(const Key* key) const { return Hash()(*key); }
  };
  struct SameKey {
    bool operator()(const Key* a, const Key* b) const { return *a == *b; }
  };

  size_t capacity_;
  Items items_;
  std::unordered_map<const Key*, typename Items::iterator, HashOf, SameKey>
      places_;
};

}  // namespace gatedpaths::detail
