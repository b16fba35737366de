// SPDX-License-Identifier: MIT
#include "cover_paths.hpp"

#include <algorithm>
#include <map>
#include <numeric>

namespace gatedpaths::detail {
namespace {

// Which branches no path has opened yet.
class Uncovered {
 public:
  explicit Uncovered(const SpaceLayout& layout)
      : layout_(layout), is_open_(layout.gates().size()) {
    for (size_t i = 0; i < is_open_.size(); ++i) {
      is_open_[i].resize(layout.gates()[i].branch_names.size(), true);
    }
  }

  /// Whether there is anything to do in each branch, or inside of it.
  std::vector<std::vector<bool>> needs() const {
    auto needs = is_open_;
    // Backwards: what lies in a gate has a greater number.
    for (size_t i = needs.size(); i > 0; --i) {
      const auto& of_gate = needs[i - 1];
      if (std::find(of_gate.begin(), of_gate.end(), true) == of_gate.end()) {
        continue;
      }
      const auto& places = layout_.gates()[i - 1].places;
      if (!places.empty()) {
        needs[static_cast<size_t>(places[0].gate)]
             [static_cast<size_t>(places[0].branch)] = true;
      }
    }
    return needs;
  }

  bool cover(const Path& path) {
    bool any = false;
    for (const auto& [gate, open] : path) {
      for (const int64_t branch : open) {
        auto is_new =
            is_open_[static_cast<size_t>(gate)][static_cast<size_t>(branch)];
        any = any || is_new;
        is_new = false;
      }
    }
    return any;
  }

 private:
  const SpaceLayout& layout_;
  std::vector<std::vector<bool>> is_open_;
};

}  // namespace

std::vector<Path> cover_paths(const SpaceLayout& layout) {
  std::vector<Path> paths;
  Uncovered uncovered(layout);
  while (true) {
    const auto needs = uncovered.needs();
    Path path =
        layout.make_path([&](int64_t number, std::vector<int64_t>& open) {
          const auto& gate = layout.gates()[static_cast<size_t>(number)];
          const auto& need = needs[static_cast<size_t>(number)];
          const auto count = static_cast<int64_t>(need.size());
          for (const bool needed : {true, false}) {
            const int64_t limit = needed ? gate.max_open : gate.min_open;
            for (int64_t b = 0; b < count; ++b) {
              if (static_cast<int64_t>(open.size()) < limit &&
                  need[static_cast<size_t>(b)] == needed) {
                open.push_back(b);
              }
            }
          }
          std::sort(open.begin(), open.end());
        });
    if (!uncovered.cover(path)) {
      if (paths.empty()) {
        paths.push_back(std::move(path));  // a space of one path
      }
      return paths;
    }
    paths.push_back(std::move(path));
  }
}

Path path_with(
    const SpaceLayout& layout,
    int64_t gate,
    const std::vector<int64_t>& open_there) {
  std::map<int64_t, int64_t> wanted;  // the branches around it
  const auto* places = &layout.gate(gate).places;
  while (!places->empty()) {
    wanted[places->front().gate] = places->front().branch;
    places = &layout.gate(places->front().gate).places;
  }
  return layout.make_path([&](int64_t number, std::vector<int64_t>& open) {
    if (number == gate) {
      open = open_there;
      return;
    }
    const int64_t count = layout.gate(number).min_open;
    open.resize(static_cast<size_t>(count));
    std::iota(open.begin(), open.end(), 0);
    const auto around = wanted.find(number);
    if (around == wanted.end() ||
        std::find(open.begin(), open.end(), around->second) != open.end()) {
      return;
    }
    if (!open.empty()) {
      open.pop_back();
    }
    open.push_back(around->second);
  });
}

}  // namespace gatedpaths::detail
