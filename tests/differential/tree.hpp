// SPDX-License-Identifier: MIT
// A tree of gates as plain data, from which both the gated network and the
// reference are made.
#pragma once

#include <gatedpaths/depth/drop_mode.hpp>
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/sample_capacity.hpp>
#include <gatedpaths/gates/skip.hpp>

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gatedpaths::differential {

/// What all tensors between the nodes look like.
enum class Form {
  kRows,    ///< `[N, channels]`
  kTokens,  ///< `[N, kExtent, channels]`
  kImages,  ///< `[N, channels, kExtent, kExtent]`
};

/// The size of the dims that no node changes.
inline constexpr int64_t kExtent = 3;

enum class NodeKind {
  kLeaf,
  kSequence,         ///< The children, one after the other.
  kBranch,           ///< `GatedBranch`
  kChoice,           ///< `ChoiceBlock`
  kConcat,           ///< `ConcatGate`, dense
  kSlots,            ///< `ConcatGate::forward_slots` and layers on the slots
  kStochasticDepth,  ///< `StochasticDepth`
  kLayerDrop,        ///< `LayerDrop`
};

enum class LeafKind {
  kAffine,        ///< A linear layer or convolution.
  kTanh,          ///< The same and a tanh.
  kNorm,          ///< The same between a norm and a tanh.
  kDropout,       ///< The same after a dropout.
  kStrided,       ///< The same, with a result whose last dim is the batch's.
  kChannelsLast,  ///< The same, with channels last in memory.
  kNoGraph,       ///< The same, detached.
  kConstant,      ///< A parameter, expanded.
  kIdentity,      ///< The input.
  kNarrow,        ///< A view of the input's last channels.
  kMean,          ///< The mean over the channels, expanded.
  kInfinite,      ///< Infinite wherever the input is large.
};

struct Node;
using NodePtr = std::shared_ptr<const Node>;

/// A part of the tree. One that stands in two places is shared.
struct Node {
  int64_t id = 0;
  NodeKind kind = NodeKind::kLeaf;
  int64_t in = 1;   ///< The channels of the input.
  int64_t out = 1;  ///< The channels of the output.
  std::vector<NodePtr> children;

  LeafKind leaf = LeafKind::kAffine;
  bool frozen = false;  ///< Whether the parameters want no gradient.

  /// Whether a sequence works in place on what its gates return, where no graph
  /// is kept.
  bool in_place = false;

  Skip skip = Skip::kZeroFill;
  ClosedValue closed_value = ClosedValue::kZeros;
  bool track_statistics = false;
  int64_t min_open = 0;
  int64_t max_open = 1;
  Reduction reduction = Reduction::kSum;
  bool by_samples = false;  ///< Whether steps may give gates for each sample.
  SampleCapacity capacity;
  std::optional<uint64_t> draws;  ///< The seed of one that draws by itself.
  bool declares = false;  ///< Whether the branches' shapes are declared.
  bool pairs = false;     ///< Branch: takes and returns two tensors.

  bool maps = false;      ///< Slots: a tanh on each.
  bool norms = false;     ///< Slots: a batch norm on each.
  bool coasts = false;    ///< Slots: the layer behind them coasts.
  bool bias = true;       ///< Slots: the layer behind them has a bias.
  bool flattens = false;  ///< Slots: of images, as rows. At the root alone.

  double drop_rate = 0;
  DropMode mode = DropMode::kSubset;
  DropScale scale = DropScale::kTrainInverse;
  bool residual = true;

  /// Whether it is a `GatedModule`.
  bool is_gate() const {
    return kind != NodeKind::kLeaf && kind != NodeKind::kSequence;
  }
};

struct Tree {
  uint64_t seed = 0;
  Form form = Form::kRows;
  c10::ScalarType dtype = c10::ScalarType::Double;
  NodePtr root;

  /// The dim of the channels.
  int64_t channel_dim() const { return form == Form::kTokens ? 2 : 1; }
};

/// The sizes of what has `channels` channels.
std::vector<int64_t> sizes_of(
    const Tree& tree, int64_t batch, int64_t channels);

/// Calls `visit` once for each node, children first.
void for_each_node(
    const NodePtr& root, const std::function<void(const Node&)>& visit);

/// One node a line, children indented; a shared one is described once.
std::string describe(const Tree& tree);

}  // namespace gatedpaths::differential
