// SPDX-License-Identifier: MIT
#include "differential/shrink.hpp"

#include "differential/tree_run.hpp"

#include <exception>
#include <map>
#include <utility>
#include <vector>

namespace gatedpaths::differential {
namespace {

using Copies = std::map<int64_t, NodePtr>;

// A copy with another node in place of that of `id`.
NodePtr with(
    const NodePtr& node, int64_t id, const NodePtr& other, Copies& copies) {
  if (node->id == id) {
    return other;
  }
  auto& copy = copies[node->id];
  if (copy == nullptr) {
    Node changed = *node;
    for (auto& child : changed.children) {
      child = with(child, id, other, copies);
    }
    copies[node->id] = std::make_shared<const Node>(std::move(changed));
  }
  return copies[node->id];
}

// What could stand for a node: a leaf, a child, itself with plainer options.
std::vector<NodePtr> simpler(const Node& node) {
  std::vector<NodePtr> result;
  const auto add = [&](Node changed) {
    result.push_back(std::make_shared<const Node>(std::move(changed)));
  };
  if (node.kind == NodeKind::kLeaf && node.leaf == LeafKind::kAffine &&
      !node.frozen) {
    return result;
  }
  Node leaf;
  leaf.id = node.id;
  leaf.in = node.in;
  leaf.out = node.out;
  add(leaf);
  for (const auto& child : node.children) {
    if (child->in == node.in && child->out == node.out) {
      result.push_back(child);
    }
  }
  if (!node.is_gate()) {
    return result;
  }
  if (node.children.size() > 1 && node.kind != NodeKind::kConcat) {
    for (size_t i = 0; i < node.children.size(); ++i) {
      Node fewer = node;
      fewer.children.erase(fewer.children.begin() + static_cast<int64_t>(i));
      const auto count = static_cast<int64_t>(fewer.children.size());
      fewer.max_open = std::min(fewer.max_open, count);
      fewer.min_open = std::min(fewer.min_open, fewer.max_open);
      add(std::move(fewer));
    }
  }
  const auto without = [&](auto Node::*option, auto value) {
    if (!(node.*option == value)) {
      Node plainer = node;
      plainer.*option = value;
      add(std::move(plainer));
    }
  };
  without(&Node::track_statistics, false);
  without(&Node::closed_value, ClosedValue::kZeros);
  without(&Node::by_samples, false);
  without(&Node::draws, std::optional<uint64_t>());
  without(&Node::maps, false);
  without(&Node::norms, false);
  without(&Node::coasts, false);
  if (node.capacity.limit) {
    Node unlimited = node;
    unlimited.capacity = {};
    add(std::move(unlimited));
  }
  return result;
}

bool differs(const Tree& tree, uint64_t steps) {
  Counts counts;
  try {
    return run_tree(tree, steps, counts).has_value();
  } catch (const std::exception&) {
    return false;  // another fault than the one that is looked for
  }
}

}  // namespace

Tree shrunk(Tree tree, uint64_t steps) {
  int left = 300;
  for (bool again = true; again;) {
    again = false;
    std::vector<std::pair<int64_t, NodePtr>> candidates;
    for_each_node(tree.root, [&](const Node& node) {
      for (auto& other : simpler(node)) {
        candidates.emplace_back(node.id, std::move(other));
      }
    });
    // The root comes last, and what takes the most away with it.
    for (auto next = candidates.rbegin(); next != candidates.rend(); ++next) {
      if (left-- <= 0) {
        return tree;
      }
      Copies copies;
      Tree other = tree;
      other.root = with(tree.root, next->first, next->second, copies);
      if (differs(other, steps)) {
        tree = std::move(other);
        again = true;
        break;
      }
    }
  }
  return tree;
}

}  // namespace gatedpaths::differential
