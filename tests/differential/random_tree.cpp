// SPDX-License-Identifier: MIT
#include "differential/random_tree.hpp"

#include "differential/dice.hpp"

#include <array>
#include <utility>

namespace gatedpaths::differential {
namespace {

constexpr int kMaxDepth = 4;
constexpr int64_t kMaxChannels = 6;

class TreeMaker {
 public:
  TreeMaker(uint64_t seed, Form form)
      : dice_(mixed({seed, 1, static_cast<uint64_t>(form)})) {
    tree_.seed = seed;
    tree_.form = form;
    const auto dtype = dice_.below(20);
    tree_.dtype = dtype == 0  ? c10::kBFloat16
                  : dtype < 3 ? c10::kFloat
                              : c10::kDouble;
  }

  Tree make() && {
    const auto in = dice_.between(2, kMaxChannels);
    const auto out = dice_.chance(0.5) ? in : dice_.between(1, kMaxChannels);
    has_infinite_ = dice_.chance(0.04);
    auto root = gate(in, out, 0);
    if (root->kind == NodeKind::kSlots && tree_.form == Form::kImages &&
        dice_.chance(0.5)) {
      auto flattened = *root;
      flattened.flattens = true;
      root = done(std::move(flattened));
    }
    tree_.root = root;
    return std::move(tree_);
  }

 private:
  NodePtr any(int64_t in, int64_t out, int depth) {
    if (dice_.chance(0.15)) {
      if (auto again = of_before(in, out)) {
        return again;
      }
    }
    const double gates = depth >= kMaxDepth ? 0 : 0.65 - 0.1 * depth;
    auto made = dice_.chance(gates) ? gate(in, out, depth) : leaf(in, out);
    made_.push_back(made);
    return made;
  }

  // One that is complete, so that nothing holds itself.
  NodePtr of_before(int64_t in, int64_t out) {
    std::vector<NodePtr> fitting;
    for (const auto& node : made_) {
      if (node->in == in && node->out == out) {
        fitting.push_back(node);
      }
    }
    return fitting.empty() ? nullptr : dice_.one_of(fitting);
  }

  Node blank(NodeKind kind, int64_t in, int64_t out) {
    Node node;
    node.id = next_id_++;
    node.kind = kind;
    node.in = in;
    node.out = out;
    return node;
  }

  static NodePtr done(Node node) {
    return std::make_shared<const Node>(std::move(node));
  }

  NodePtr leaf(int64_t in, int64_t out) {
    std::vector<LeafKind> kinds = {
        LeafKind::kAffine,
        LeafKind::kTanh,
        LeafKind::kTanh,
        LeafKind::kNorm,
        LeafKind::kNorm,
        LeafKind::kDropout,
        LeafKind::kStrided,
        LeafKind::kMean,
        LeafKind::kConstant,
        LeafKind::kNoGraph};
    if (tree_.form == Form::kImages) {
      kinds.push_back(LeafKind::kChannelsLast);
    }
    if (has_infinite_) {
      kinds.push_back(LeafKind::kInfinite);
    }
    if (in == out) {
      kinds.push_back(LeafKind::kIdentity);
      kinds.push_back(LeafKind::kIdentity);
    }
    if (in >= out) {
      kinds.push_back(LeafKind::kNarrow);
    }
    auto node = blank(NodeKind::kLeaf, in, out);
    node.leaf = dice_.one_of(kinds);
    node.frozen = dice_.chance(0.08);
    return done(std::move(node));
  }

  NodePtr gate(int64_t in, int64_t out, int depth) {
    std::vector<NodeKind> kinds = {
        NodeKind::kSequence,
        NodeKind::kSequence,
        NodeKind::kBranch,
        NodeKind::kChoice,
        NodeKind::kChoice,
        NodeKind::kSlots,
        NodeKind::kSlots,
        NodeKind::kStochasticDepth};
    if (out > 1) {
      kinds.push_back(NodeKind::kConcat);
      kinds.push_back(NodeKind::kConcat);
    }
    if (in == out) {
      kinds.push_back(NodeKind::kStochasticDepth);
      kinds.push_back(NodeKind::kLayerDrop);
    }
    auto node = blank(dice_.one_of(kinds), in, out);
    switch (node.kind) {
      case NodeKind::kSequence:
        add_sequence(node, depth);
        break;
      case NodeKind::kBranch:
        node.children = {any(in, out, depth + 1)};
        set_closed(node);
        node.pairs = dice_.chance(0.3);
        node.declares = node.declares && !node.pairs;
        break;
      case NodeKind::kChoice:
        for (auto count = dice_.between(1, 4); count > 0; --count) {
          node.children.push_back(any(in, out, depth + 1));
        }
        set_bounds(node, 1);
        node.reduction = dice_.chance(0.5) ? Reduction::kSum : Reduction::kMean;
        set_closed(node);
        break;
      case NodeKind::kConcat:
        add_parts(node, dice_.between(2, std::min<int64_t>(out, 4)), depth);
        break;
      case NodeKind::kSlots:
        add_parts(node, dice_.between(1, 4), depth);
        node.maps = dice_.chance(0.4);
        node.norms = tree_.form == Form::kImages && dice_.chance(0.5);
        node.coasts = dice_.chance(0.2);
        node.bias = dice_.chance(0.7);
        break;
      case NodeKind::kStochasticDepth:
        add_stochastic_depth(node, depth);
        break;
      default:
        add_layer_drop(node, depth);
    }
    return done(std::move(node));
  }

  void add_sequence(Node& node, int depth) {
    node.in_place = dice_.chance(0.6);
    auto in = node.in;
    for (auto count = dice_.between(2, 3); count > 0; --count) {
      const auto out = count == 1 ? node.out : dice_.between(1, kMaxChannels);
      node.children.push_back(any(in, out, depth + 1));
      in = out;
    }
  }

  // A concatenation has as many channels as the node; slots have any number,
  // since a layer comes behind them.
  void add_parts(Node& node, int64_t count, int depth) {
    auto left = node.kind == NodeKind::kConcat
                    ? node.out
                    : dice_.between(count, kMaxChannels + 2);
    for (; count > 0; --count) {
      const auto out = count == 1 ? left : dice_.between(1, left - count + 1);
      node.children.push_back(any(node.in, out, depth + 1));
      left -= out;
    }
    set_bounds(node, 0);
    set_closed(node);
  }

  void add_stochastic_depth(Node& node, int depth) {
    node.residual = node.in == node.out && dice_.chance(0.7);
    node.children = {any(node.in, node.out, depth + 1)};
    node.drop_rate = dice_.one_of(std::array{0.0, 0.2, 0.5, 0.5, 0.8, 1.0});
    node.mode = dice_.one_of(
        std::array{DropMode::kRow, DropMode::kBatch, DropMode::kSubset});
    node.scale = dice_.one_of(std::array{
        DropScale::kNone,
        DropScale::kTrainInverse,
        DropScale::kTrainRealised,
        DropScale::kEval});
    node.min_open = 1;
    set_seed(node, 0.9);
  }

  void add_layer_drop(Node& node, int depth) {
    const auto count = dice_.between(1, 4);
    for (int64_t i = 0; i < count; ++i) {
      node.children.push_back(any(node.in, node.out, depth + 1));
    }
    node.min_open = dice_.between(0, count);
    node.max_open = count;
    node.drop_rate = dice_.one_of(std::array{0.0, 0.3, 0.6, 1.0});
    set_seed(node, 0.9);
  }

  void set_bounds(Node& node, int64_t fewest) {
    const auto count = static_cast<int64_t>(node.children.size());
    node.max_open = dice_.between(1, count);
    node.min_open =
        dice_.between(dice_.chance(0.3) ? 0 : fewest, node.max_open);
  }

  void set_seed(Node& node, double probability) {
    if (dice_.chance(probability)) {
      node.draws = static_cast<uint64_t>(dice_.below(1000));
    }
  }

  void set_closed(Node& node) {
    set_seed(node, 0.2);
    node.declares = dice_.chance(0.15);
    if (dice_.chance(0.35)) {
      node.skip = Skip::kNoGrad;
      node.track_statistics = dice_.chance(0.3);
      node.closed_value =
          dice_.chance(0.3) ? ClosedValue::kDetached : ClosedValue::kZeros;
      return;
    }
    node.by_samples = dice_.chance(0.5);
    if (dice_.chance(0.4)) {
      node.capacity.limit = dice_.between(1, 5);
      node.capacity.overflow = Overflow::kDrop;
      node.capacity.seed = static_cast<uint64_t>(dice_.below(1000));
    } else if (dice_.chance(0.1)) {
      node.capacity.limit = dice_.between(5, 7);
    }
  }

  Dice dice_;
  Tree tree_;
  bool has_infinite_ = false;
  std::vector<NodePtr> made_;
  int64_t next_id_ = 0;
};

}  // namespace

Tree random_tree(uint64_t seed, Form form) {
  return TreeMaker(seed, form).make();
}

}  // namespace gatedpaths::differential
