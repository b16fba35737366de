// SPDX-License-Identifier: MIT
// A space as a graph of choices. Not installed.
#pragma once

#include <gatedpaths/paths/space_layout.hpp>

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace gatedpaths::detail {

/// One thing to do at a point, and where it leads.
struct ChoiceEdge {
  int64_t target = 0;
  int64_t gate = -1;  ///< -1 where nothing is opened.
  int64_t branch = 0;
};

/// A graph without cycles whose ways from `start` to the end are the paths of a
/// space, one each. Point 0 is the end; edges lead to smaller numbers.
class ChoiceProgram {
 public:
  explicit ChoiceProgram(const SpaceLayout& layout);

  const std::vector<std::vector<ChoiceEdge>>& points() const { return points_; }
  int64_t start() const { return start_; }

 private:
  static constexpr int64_t kNowhere = -1;

  int64_t gates_then(const std::vector<int64_t>& gates, int64_t then);
  int64_t gate_then(int64_t gate, int64_t then);
  int64_t one_of(int64_t gate, int64_t then);
  int64_t several_of(int64_t gate, int64_t then);
  int64_t open_then(int64_t gate, int64_t branch, int64_t then);
  int64_t add(std::vector<ChoiceEdge> edges);

  const SpaceLayout& layout_;
  std::map<std::pair<int64_t, int64_t>, std::vector<int64_t>> inside_;
  std::map<std::pair<int64_t, int64_t>, int64_t> known_;  // by gate and then
  std::vector<std::vector<ChoiceEdge>> points_;
  int64_t start_ = 0;
};

}  // namespace gatedpaths::detail
