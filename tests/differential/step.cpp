// SPDX-License-Identifier: MIT
#include "differential/step.hpp"

#include "differential/dice.hpp"

#include <array>

namespace gatedpaths::differential {

Step random_step(const Tree& tree, uint64_t number) {
  Step step;
  step.seed = mixed({tree.seed, 2, number});
  Dice dice(step.seed);
  step.batch = dice.chance(0.05) ? 0 : dice.between(1, 6);
  step.layout = dice.one_of(std::array{
      Layout::kContiguous,
      Layout::kContiguous,
      Layout::kChannelsLast,
      Layout::kBatchLast,
      Layout::kNarrowed,
      Layout::kExpandedBatch,
      Layout::kExpandedChannels});
  if (step.layout == Layout::kChannelsLast && tree.form != Form::kImages) {
    step.layout = Layout::kContiguous;
  }
  step.grad_mode = dice.chance(0.8)   ? GradMode::kGrad
                   : dice.chance(0.5) ? GradMode::kNoGrad
                                      : GradMode::kInference;
  step.training = dice.chance(0.75);
  if (dice.chance(0.3)) {
    for_each_node(tree.root, [&](const Node& node) {
      if (node.kind == NodeKind::kLeaf && dice.chance(0.3)) {
        step.other_mode.insert(node.id);
      }
    });
  }
  step.input_wants_grad = dice.chance(0.5);
  step.applies_path = number == 0 || dice.chance(0.85);
  step.clears = dice.chance(0.15)  ? Clears::kNever
                : dice.chance(0.7) ? Clears::kBeforeForward
                                   : Clears::kBeforeBackward;
  step.passes = dice.chance(0.25) ? 2 : 1;
  step.autocast = tree.dtype == c10::kFloat && dice.chance(0.4);
  step.second_order = tree.dtype == c10::kDouble && dice.chance(0.15);
  step.calls.seed = dice.number();
  step.calls.by_samples = dice.one_of(std::array{0.0, 0.5, 1.0});
  return step;
}

torch::Tensor input_leaf(const Tree& tree, const Step& step) {
  auto sizes = sizes_of(tree, step.batch, tree.root->in);
  const auto channels = static_cast<size_t>(tree.channel_dim());
  switch (step.layout) {
    case Layout::kBatchLast:
      std::swap(sizes.front(), sizes.back());
      break;
    case Layout::kNarrowed:
      sizes.front() += 2;
      sizes[channels] += 1;
      break;
    case Layout::kExpandedBatch:
      sizes.front() = 1;
      break;
    case Layout::kExpandedChannels:
      sizes[channels] = 1;
      break;
    default:
      break;
  }
  auto leaf = torch::randn(sizes, torch::kDouble).to(tree.dtype);
  return step.layout == Layout::kChannelsLast
             ? leaf.contiguous(torch::MemoryFormat::ChannelsLast)
             : leaf;
}

torch::Tensor laid_out(
    const Tree& tree, const Step& step, const torch::Tensor& leaf) {
  switch (step.layout) {
    case Layout::kBatchLast:
      return leaf.transpose(0, -1);
    case Layout::kNarrowed:
      return leaf.narrow(0, 1, step.batch)
          .narrow(tree.channel_dim(), 1, tree.root->in);
    case Layout::kExpandedBatch:
    case Layout::kExpandedChannels:
      return leaf.expand(sizes_of(tree, step.batch, tree.root->in));
    default:
      return leaf;
  }
}

}  // namespace gatedpaths::differential
