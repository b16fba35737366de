// SPDX-License-Identifier: MIT
#include "path_order.hpp"

#include <algorithm>
#include <map>
#include <numeric>

namespace gatedpaths::detail {

PathOrder::PathOrder(
    c10::ArrayRef<Path> paths, int64_t stages, const StageOf& stage_of)
    : stages_(stages),
      nodes_(paths.size() * static_cast<size_t>(stages)),
      order_(paths.size()) {
  const auto width = static_cast<size_t>(stages);
  // By stage: how its gates are set, and the number of that.
  std::vector<std::map<std::vector<int64_t>, int64_t>> numbers(width);
  for (size_t i = 0; i < paths.size(); ++i) {
    std::vector<std::vector<int64_t>> settings(width);
    for (const auto& [gate, open] : paths[i]) {
      auto& setting = settings[static_cast<size_t>(stage_of(gate))];
      setting.push_back(gate);
      setting.push_back(static_cast<int64_t>(open.size()));
      setting.insert(setting.end(), open.begin(), open.end());
    }
    for (size_t stage = 0; stage < width; ++stage) {
      const auto next = static_cast<int64_t>(numbers[stage].size());
      nodes_[i * width + stage] =
          numbers[stage]
              .try_emplace(std::move(settings[stage]), next)
              .first->second;
    }
  }
  std::iota(order_.begin(), order_.end(), 0);
  std::stable_sort(order_.begin(), order_.end(), [&](size_t a, size_t b) {
    const auto* first = nodes_.data() + a * width;
    const auto* second = nodes_.data() + b * width;
    return std::lexicographical_compare(
        first, first + stages_, second, second + stages_);
  });
}

int64_t PathOrder::first_changed(size_t position) const {
  const auto row = [&](size_t at) {
    return nodes_.data() + order_[at] * static_cast<size_t>(stages_);
  };
  const auto* now = row(position);
  const auto* differs =
      std::mismatch(now, now + stages_, row(position - 1)).first;
  return std::min<int64_t>(differs - now, stages_ - 1);
}

}  // namespace gatedpaths::detail
