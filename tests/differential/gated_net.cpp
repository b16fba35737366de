// SPDX-License-Identifier: MIT
#include "differential/gated_net.hpp"

#include <gatedpaths/depth/layer_drop.hpp>
#include <gatedpaths/depth/stochastic_depth.hpp>
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/slots/slot_map.hpp>

#include <torch/nn/modules/activation.h>
#include <torch/nn/pimpl.h>

#include <string>
#include <tuple>
#include <utility>

namespace gatedpaths::differential {
namespace {

using CallsPtr = std::shared_ptr<const StepCalls>;

// The children one after the other; with one child, a module of a known type.
class ChainImpl : public torch::nn::Module {
 public:
  ChainImpl(const Node& node, std::vector<AnyBranch> children)
      : children_(std::move(children)) {
    for (size_t i = 0; i < children_.size(); ++i) {
      works_in_place_.push_back(
          node.in_place && i + 1 < children_.size() &&
          node.children[i]->is_gate());
      register_module(std::to_string(i), children_[i].ptr());
    }
  }

  torch::Tensor forward(const torch::Tensor& input) {
    auto output = input;
    for (size_t i = 0; i < children_.size(); ++i) {
      output = children_[i].forward(output);
      if (!works_in_place_[i]) {
        continue;
      }
      if (output.requires_grad() || !output.is_non_overlapping_and_dense()) {
        output = output + 0.5;
      } else {
        output.add_(0.5);
      }
    }
    return output;
  }

 private:
  std::vector<AnyBranch> children_;
  std::vector<bool> works_in_place_;
};
TORCH_MODULE(Chain);

// Two arguments, of which the first has samples, and two results.
class PairChildImpl : public torch::nn::Module {
 public:
  PairChildImpl(int64_t channel_dim, AnyBranch child)
      : channel_dim_(channel_dim), child_(std::move(child)) {
    register_module("child", child_.ptr());
  }

  std::tuple<torch::Tensor, torch::Tensor> forward(
      const torch::Tensor& input, const torch::Tensor& factors) {
    const auto value = child_.forward(input);
    return {
        value * factors.to(value.scalar_type()),
        value.mean(channel_dim_, /*keepdim=*/true)};
  }

 private:
  int64_t channel_dim_;
  AnyBranch child_;
};
TORCH_MODULE(PairChild);

// A branch of two arguments and results, called as the step says.
class PairCallImpl : public torch::nn::Module {
 public:
  PairCallImpl(const Node& node, GatedBranch<PairChild> gate, CallsPtr calls)
      : node_(node), gate_(std::move(gate)), calls_(std::move(calls)) {
    register_module("gate", gate_);
  }

  torch::Tensor forward(const torch::Tensor& input) {
    const auto factors = pair_factors(input);
    const auto [value, mean] =
        calls_->is_by_samples(node_)
            ? gate_->forward_samples(
                  calls_->open(node_, input.size(0)), input, factors)
            : gate_->forward(input, factors);
    return value + mean;
  }

 private:
  Node node_;
  GatedBranch<PairChild> gate_;
  CallsPtr calls_;
};

// A gate, called as the step says.
template <class Gate>
class GateCallImpl : public torch::nn::Module {
 public:
  GateCallImpl(const Node& node, Gate gate, CallsPtr calls)
      : node_(node), gate_(std::move(gate)), calls_(std::move(calls)) {
    register_module("gate", gate_.ptr());
  }

  torch::Tensor forward(const torch::Tensor& input) {
    const auto open = open_of(input);
    if constexpr (std::is_same_v<Gate, ConcatGate<>>) {
      if (calls_->is_by_slots(node_)) {
        return gate_->forward_slots(input, open).dense();
      }
    }
    if (open.defined()) {
      return gate_->forward(input, open);
    }
    return gate_->forward(input);
  }

 protected:
  torch::Tensor open_of(const torch::Tensor& input) const {
    return calls_->is_by_samples(node_) ? calls_->open(node_, input.size(0))
                                        : torch::Tensor();
  }

  Node node_;
  Gate gate_;
  CallsPtr calls_;
};

// A concatenation and the layers on its slots.
class SlotCallImpl : public GateCallImpl<ConcatGate<>> {
 public:
  SlotCallImpl(const Node& node, ConcatGate<> gate, CallsPtr calls, Parts parts)
      : GateCallImpl(node, std::move(gate), std::move(calls)),
        parts_(std::move(parts)) {
    if (node.maps) {
      map_ = register_module("map", SlotMap(torch::nn::Tanh()));
    }
    if (parts_.norm) {
      register_module("norm", parts_.norm);
    }
    if (parts_.conv) {
      register_module("conv", parts_.conv);
    } else {
      register_module("linear", parts_.linear);
    }
  }

  torch::Tensor forward(const torch::Tensor& input) {
    auto slots = gate_->forward_slots(input, open_of(input));
    if (map_) {
      slots = map_->forward(slots);
    }
    if (parts_.norm) {
      slots = parts_.norm->forward(slots);
    }
    if (node_.flattens) {
      slots = slots.flatten();
    }
    return parts_.conv ? parts_.conv->forward(slots)
                       : parts_.linear->forward(slots);
  }

 private:
  Parts parts_;
  SlotMap map_ = nullptr;
};

template <class Options>
Options closed_options(const Node& node, Options options) {
  options.skip(node.skip)
      .closed_value(node.closed_value)
      .track_statistics(node.track_statistics);
  if (node.capacity.limit) {
    options.capacity(*node.capacity.limit).overflow(node.capacity.overflow);
  }
  if (node.capacity.seed) {
    options.capacity_seed(*node.capacity.seed);
  }
  return options;
}

template <class Gate>
AnyBranch call_of(const Node& node, Gate gate, CallsPtr calls) {
  return std::make_shared<GateCallImpl<Gate>>(
      node, std::move(gate), std::move(calls));
}

}  // namespace

class GatedNet::Builder {
 public:
  Builder(GatedNet& net, const Tree& tree) : net_(net), tree_(tree) {}

  AnyBranch build(const NodePtr& node) {
    if (const auto found = built_.find(node->id); found != built_.end()) {
      return found->second;
    }
    auto branch = fresh(*node);
    built_.emplace(node->id, branch);
    return branch;
  }

 private:
  AnyBranch fresh(const Node& node) {
    std::vector<AnyBranch> children;
    for (const auto& child : node.children) {
      children.push_back(build(child));
    }
    switch (node.kind) {
      case NodeKind::kLeaf:
        return net_.parts_.at(node.id).leaf;
      case NodeKind::kSequence:
        return Chain(node, children);
      case NodeKind::kBranch: {
        if (node.pairs) {
          return pair(node, children.front());
        }
        GatedBranch<Chain> gate(
            Chain(node, children), closed_options(node, branch_options(node)));
        note(node, *gate);
        return call_of(node, gate, net_.calls_);
      }
      case NodeKind::kChoice: {
        ChoiceBlock<> gate(
            closed_options(node, ChoiceBlockOptions())
                .min_open(node.min_open)
                .max_open(node.max_open)
                .reduction(node.reduction),
            named(node, children));
        note(node, *gate);
        return call_of(node, gate, net_.calls_);
      }
      case NodeKind::kConcat:
      case NodeKind::kSlots:
        return concat(node, children);
      case NodeKind::kStochasticDepth: {
        StochasticDepth<AnyBranch> gate(
            children.front(),
            StochasticDepthOptions(node.drop_rate)
                .mode(node.mode)
                .scale(node.scale)
                .residual(node.residual)
                .seed(node.draws.value_or(0)));
        note(node, *gate);
        return gate;
      }
      case NodeKind::kLayerDrop:
        break;
    }
    LayerDrop<> gate(
        LayerDropOptions(node.drop_rate)
            .min_layers(node.min_open)
            .seed(node.draws.value_or(0)),
        named(node, children));
    note(node, *gate);
    return gate;
  }

  AnyBranch concat(const Node& node, const std::vector<AnyBranch>& children) {
    const auto dim = tree_.channel_dim();
    const int64_t dims = tree_.form == Form::kRows     ? 2
                         : tree_.form == Form::kTokens ? 3
                                                       : 4;
    ConcatGate<> gate(
        closed_options(
            node, ConcatGateOptions(node.id % 2 == 0 ? dim : dim - dims))
            .min_open(node.min_open)
            .max_open(node.max_open),
        named(node, children));
    note(node, *gate);
    if (node.kind == NodeKind::kConcat) {
      return call_of(node, gate, net_.calls_);
    }
    return std::make_shared<SlotCallImpl>(
        node, gate, net_.calls_, net_.parts_.at(node.id));
  }

  GatedBranchOptions branch_options(const Node& node) const {
    GatedBranchOptions options;
    if (node.declares) {
      options.output_shape(declared(*node.children.front()));
    }
    return options;
  }

  // Without the batch dim.
  std::vector<int64_t> declared(const Node& child) const {
    auto sizes = sizes_of(tree_, 0, child.out);
    sizes.erase(sizes.begin());
    return sizes;
  }

  AnyBranch pair(const Node& node, const AnyBranch& child) {
    GatedBranch<PairChild> gate(
        PairChild(tree_.channel_dim(), child),
        closed_options(node, GatedBranchOptions().sample_arguments({0})));
    note(node, *gate);
    return std::make_shared<PairCallImpl>(node, gate, net_.calls_);
  }

  void note(const Node& node, GatedModule& gate) {
    if (node.draws) {
      gate.draw_each_forward(*node.draws);
    } else {
      gate.stop_drawing();
    }
    net_.gates_.emplace(node.id, &gate);
  }

  std::vector<NamedBranch<>> named(
      const Node& node, const std::vector<AnyBranch>& children) const {
    std::vector<NamedBranch<>> branches;
    for (size_t i = 0; i < children.size(); ++i) {
      branches.emplace_back(
          "b" + std::to_string(i),
          children[i],
          node.declares ? OutputShape(declared(*node.children[i]))
                        : OutputShape());
    }
    return branches;
  }

  GatedNet& net_;
  const Tree& tree_;
  std::map<int64_t, AnyBranch> built_;
};

GatedNet::GatedNet(const Tree& tree) : GatedNet(tree, make_parts(tree)) {}

GatedNet::GatedNet(const Tree& tree, AllParts parts)
    : parts_(std::move(parts)), root_(Builder(*this, tree).build(tree.root)) {}

}  // namespace gatedpaths::differential
