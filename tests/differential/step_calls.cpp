// SPDX-License-Identifier: MIT
#include "differential/step_calls.hpp"

#include <array>
#include <numeric>
#include <utility>
#include <vector>

namespace gatedpaths::differential {

torch::Tensor StepCalls::open(const Node& node, int64_t batch) const {
  if (fixed_open.defined()) {
    return fixed_open;
  }
  auto dice = this->dice(node, 3);
  const auto branches = static_cast<int64_t>(node.children.size());
  auto open = torch::zeros({batch, branches}, torch::kBool);
  auto access = open.accessor<bool, 2>();
  // Often all samples alike, so that a branch has all or none.
  const double anew = dice.one_of(std::array{0.0, 0.2, 1.0, 1.0});
  std::vector<int64_t> order(static_cast<size_t>(branches));
  std::iota(order.begin(), order.end(), 0);
  int64_t count = 0;
  for (int64_t sample = 0; sample < batch; ++sample) {
    if (sample == 0 || dice.chance(anew)) {
      count = dice.between(node.min_open, node.max_open);
      for (auto i = branches - 1; i > 0; --i) {
        std::swap(
            order[static_cast<size_t>(i)],
            order[static_cast<size_t>(dice.below(i + 1))]);
      }
    }
    for (int64_t i = 0; i < count; ++i) {
      access[sample][order[static_cast<size_t>(i)]] = true;
    }
  }
  return node.kind == NodeKind::kBranch ? open.flatten() : open;
}

}  // namespace gatedpaths::differential
