// SPDX-License-Identifier: MIT
#include "differential/tree.hpp"

#include <array>
#include <set>
#include <sstream>

namespace gatedpaths::differential {
namespace {

constexpr std::array kNodeNames = {
    "leaf",
    "Sequence",
    "GatedBranch",
    "ChoiceBlock",
    "ConcatGate",
    "ConcatGate with slots",
    "StochasticDepth",
    "LayerDrop"};
constexpr std::array kLeafNames = {
    "affine",
    "tanh",
    "norm",
    "dropout",
    "strided",
    "channels_last",
    "no_graph",
    "constant",
    "identity",
    "narrow",
    "mean",
    "infinite"};
constexpr std::array kFormNames = {"rows", "tokens", "images"};

template <class Names, class Kind>
auto name_of(const Names& names, Kind kind) {
  return names.at(static_cast<size_t>(kind));
}

void visit_once(
    const NodePtr& node,
    std::set<int64_t>& seen,
    const std::function<void(const Node&)>& visit) {
  if (!seen.insert(node->id).second) {
    return;
  }
  for (const auto& child : node->children) {
    visit_once(child, seen, visit);
  }
  visit(*node);
}

void describe_gate(const Node& node, std::ostream& out) {
  if (node.draws) {
    out << " draws=" << *node.draws;
  }
  if (node.kind == NodeKind::kStochasticDepth) {
    out << " rate=" << node.drop_rate << " mode=" << node.mode
        << " scale=" << node.scale << " residual=" << node.residual;
    return;
  }
  out << " open=" << node.min_open << ".." << node.max_open;
  if (node.kind == NodeKind::kLayerDrop) {
    out << " rate=" << node.drop_rate;
    return;
  }
  out << " skip=" << node.skip << " closed=" << node.closed_value;
  if (node.track_statistics) {
    out << " tracks";
  }
  if (node.kind == NodeKind::kChoice && node.reduction == Reduction::kMean) {
    out << " mean";
  }
  if (node.declares) {
    out << " declares";
  }
  if (node.pairs) {
    out << " pairs";
  }
  if (node.by_samples) {
    out << " by_samples";
  }
  if (node.capacity.limit) {
    out << " capacity=" << *node.capacity.limit << " "
        << node.capacity.overflow;
  }
  if (node.kind == NodeKind::kSlots) {
    out << (node.maps ? " maps" : "") << (node.norms ? " norms" : "")
        << (node.coasts ? " coasts" : "") << (node.bias ? " bias" : "")
        << (node.flattens ? " flattens" : "");
  }
}

void describe_node(
    const NodePtr& node,
    int depth,
    std::set<int64_t>& seen,
    std::ostream& out) {
  out << std::string(static_cast<size_t>(2 * depth + 2), ' ') << "#" << node->id
      << " " << name_of(kNodeNames, node->kind);
  if (!seen.insert(node->id).second) {
    out << " again\n";
    return;
  }
  if (node->kind == NodeKind::kLeaf) {
    out << " " << name_of(kLeafNames, node->leaf);
  }
  out << " " << node->in << "->" << node->out;
  if (node->frozen) {
    out << " frozen";
  }
  if (node->in_place) {
    out << " in_place";
  }
  if (node->is_gate()) {
    describe_gate(*node, out);
  }
  out << "\n";
  for (const auto& child : node->children) {
    describe_node(child, depth + 1, seen, out);
  }
}

}  // namespace

std::vector<int64_t> sizes_of(
    const Tree& tree, int64_t batch, int64_t channels) {
  switch (tree.form) {
    case Form::kTokens:
      return {batch, kExtent, channels};
    case Form::kImages:
      return {batch, channels, kExtent, kExtent};
    case Form::kRows:
      break;
  }
  return {batch, channels};
}

void for_each_node(
    const NodePtr& root, const std::function<void(const Node&)>& visit) {
  std::set<int64_t> seen;
  visit_once(root, seen, visit);
}

std::string describe(const Tree& tree) {
  std::ostringstream out;
  out << "tree of seed " << tree.seed << ", " << name_of(kFormNames, tree.form)
      << " in " << tree.dtype << "\n";
  std::set<int64_t> seen;
  describe_node(tree.root, 0, seen, out);
  return out.str();
}

}  // namespace gatedpaths::differential
