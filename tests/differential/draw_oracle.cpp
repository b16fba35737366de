// SPDX-License-Identifier: MIT
#include "differential/draw_oracle.hpp"

#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/sample_gated_module.hpp>

#include <memory>
#include <utility>

namespace gatedpaths::differential {
namespace {

// A tree of this gate alone, around identities.
Tree alone(const Node& node) {
  Node gate = node;
  for (size_t i = 0; i < gate.children.size(); ++i) {
    Node leaf;
    leaf.id = node.id + 1 + static_cast<int64_t>(i);
    leaf.leaf = LeafKind::kIdentity;
    gate.children[i] = std::make_shared<const Node>(leaf);
  }
  if (gate.kind == NodeKind::kSlots) {
    gate.kind = NodeKind::kConcat;
  }
  gate.in = 1;
  gate.skip = Skip::kZeroFill;
  gate.closed_value = ClosedValue::kZeros;
  gate.track_statistics = false;
  gate.residual = false;          // so that dropped rows are zeros,
  gate.scale = DropScale::kNone;  // and kept ones what they were
  Tree tree;
  tree.root = std::make_shared<const Node>(gate);
  return tree;
}

}  // namespace

DrawOracle::DrawOracle(const Node& node)
    : tree_(alone(node)), net_(tree_), gate_(net_.gates().at(node.id)) {}

std::vector<int64_t> DrawOracle::open_branches() {
  net_.module()->train();
  net_.set_calls({});
  net_.forward(torch::ones({1, 1}, torch::kDouble));
  return gate_->ran_branches().vec();
}

std::optional<std::vector<int64_t>> DrawOracle::kept_rows(int64_t batch) {
  net_.module()->train();
  const auto kept = net_.forward(torch::ones({batch, 1}, torch::kDouble));
  if (gate_->ran_branches().empty()) {
    return std::nullopt;
  }
  std::vector<int64_t> rows;
  for (int64_t row = 0; row < batch; ++row) {
    if (kept[row].item<double>() != 0) {
      rows.push_back(row);
    }
  }
  return rows;
}

std::vector<std::vector<int64_t>> DrawOracle::samples(
    const torch::Tensor& open, bool training) {
  net_.module()->train(training);
  auto& gate = dynamic_cast<SampleGatedModule&>(*gate_);
  const auto ones = torch::ones({open.size(0), 1}, torch::kDouble);
  net_.set_calls({.fixed_open = open});
  net_.forward(ones);
  std::vector<std::vector<int64_t>> samples;
  for (int64_t i = 0; i < gate.num_branches(); ++i) {
    samples.push_back(gate.ran_samples(i).vec());
  }
  return samples;
}

std::vector<DrawState> DrawOracle::states() const {
  return draw_states_of(*gate_);
}

void DrawOracle::set_states(const std::vector<DrawState>& states) {
  auto next = states.begin();
  gate_->visit_draws(
      [&](std::string_view, DrawState& state) { state = *next++; });
}

std::vector<DrawState> draw_states_of(GatedModule& gate) {
  std::vector<DrawState> states;
  gate.visit_draws(
      [&](std::string_view, DrawState& state) { states.push_back(state); });
  return states;
}

}  // namespace gatedpaths::differential
