// SPDX-License-Identifier: MIT
#include "differential/reference.hpp"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "support/autocast.hpp"

namespace gatedpaths::differential {
namespace {

// The factor of a StochasticDepth that keeps `count` of `rows` in training, as
// DropScale says.
double train_factor(const Node& node, int64_t rows, int64_t count) {
  const double keep = 1 - node.drop_rate;
  const auto n = static_cast<double>(rows);
  switch (node.scale) {
    case DropScale::kTrainInverse:
      return 1 / keep;
    case DropScale::kTrainRealised:
      break;
    default:
      return 1;
  }
  double of_any = keep;  // the probability that something is kept
  if (node.mode == DropMode::kRow) {
    of_any = 1 - std::pow(1 - keep, n);
  } else if (node.mode == DropMode::kSubset) {
    of_any = std::min(n * keep, 1.0);
  }
  return n / (static_cast<double>(count) * of_any);
}

torch::Tensor wide(const torch::Tensor& value) {
  return value.scalar_type() == torch::kBFloat16 ? value.to(torch::kFloat)
                                                 : value;
}

}  // namespace

Reference::Reference(const Tree& tree, const AllParts& parts)
    : tree_(tree), parts_(make_parts(tree)) {
  copy_values(parameters_of(parts), parameters_of(parts_));
  copy_values(buffers_of(parts), buffers_of(parts_));
  for_each_node(tree.root, [&](const Node& node) {
    if (node.is_gate()) {
      oracles_.try_emplace(node.id, node);
      open_[node.id].resize(static_cast<size_t>(node.max_open));
      std::iota(open_[node.id].begin(), open_[node.id].end(), 0);
    }
  });
}

void Reference::train(bool training) {
  training_ = training;
  for (auto& [id, parts] : parts_) {
    if (parts.norm) {
      parts.norm->train(training);
    }
  }
}

torch::Tensor Reference::run(const Node& node, const torch::Tensor& input) {
  switch (node.kind) {
    case NodeKind::kLeaf:
      return parts_.at(node.id).leaf->forward(input);
    case NodeKind::kSequence:
      return run_sequence(node, input);
    case NodeKind::kBranch: {
      const auto value = values_of(node, input).front();
      if (!value) {
        return zeros(input, node.out);
      }
      const auto output = whole(*value, input.size(0));
      return node.pairs ? output * pair_factors(input) +
                              output.mean(tree_.channel_dim(), /*keepdim=*/true)
                        : output;
    }
    case NodeKind::kChoice:
      return reduced(node, values_of(node, input), input);
    case NodeKind::kConcat:
      return concatenated(node, values_of(node, input), input);
    case NodeKind::kSlots:
      return run_slots(node, input);
    case NodeKind::kStochasticDepth:
      return run_stochastic_depth(node, input);
    case NodeKind::kLayerDrop:
      break;
  }
  return run_layer_drop(node, input);
}

torch::Tensor Reference::run_sequence(const Node& node, torch::Tensor value) {
  for (size_t i = 0; i < node.children.size(); ++i) {
    const auto& child = *node.children[i];
    value = run(child, value);
    if (node.in_place && i + 1 < node.children.size() && child.is_gate()) {
      value = value + 0.5;
    }
  }
  return value;
}

torch::Tensor Reference::run_stochastic_depth(
    const Node& node, const torch::Tensor& input) {
  const auto& child = *node.children.front();
  const auto base = node.residual ? input : zeros(input, node.out);
  const bool by_row = node.mode != DropMode::kBatch;
  if (!training_ || !node.draws) {
    const double keep = node.scale == DropScale::kEval ? 1 - node.drop_rate : 1;
    return keep == 0 ? base : base + run(child, input) * keep;
  }
  const auto rows = oracles_.at(node.id).kept_rows(input.size(0));
  if (!rows) {
    return base;
  }
  const double factor = train_factor(
      node,
      by_row ? input.size(0) : 1,
      by_row ? static_cast<int64_t>(rows->size()) : 1);
  if (static_cast<int64_t>(rows->size()) == input.size(0)) {
    return base + run(child, input) * factor;
  }
  const auto index = torch::tensor(*rows);
  const auto kept = node.mode == DropMode::kSubset
                        ? run(child, input.index_select(0, index))
                        : run(child, input).index_select(0, index);
  return wide(base)
      .index_add(0, index, wide(kept) * factor)
      .to(base.scalar_type());
}

torch::Tensor Reference::run_layer_drop(const Node& node, torch::Tensor value) {
  for (const int64_t layer : open_now(node)) {
    value = run(*node.children[static_cast<size_t>(layer)], value);
  }
  return value;
}

torch::Tensor Reference::run_slots(
    const Node& node, const torch::Tensor& input) {
  auto values = values_of(node, input);
  auto& parts = parts_.at(node.id);
  const auto& weights =
      parts.conv ? parts.conv->weights : parts.linear->weights;
  const auto flat = [&](const torch::Tensor& value) {
    return node.flattens ? value.flatten(1) : value;
  };
  std::vector<torch::Tensor> inputs;
  std::vector<torch::Tensor> used;
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i]) {
      if (node.maps) {
        values[i]->tensor = values[i]->tensor.tanh();
      }
      if (parts.norm) {
        values[i]->tensor = parts.norm->norms[i]->forward(values[i]->tensor);
      }
      inputs.push_back(flat(whole(*values[i], input.size(0))));
      used.push_back(weights[i]);
    } else if (node.coasts) {
      inputs.push_back(flat(zeros(input, node.children[i]->out)));
      used.push_back(weights[i]);
    }
  }
  const auto& bias = parts.conv ? parts.conv->bias : parts.linear->bias;
  if (inputs.empty()) {
    auto nothing =
        node.flattens ? torch::zeros({input.size(0), node.out}, input.options())
                      : zeros(input, node.out);
    if (!bias.defined()) {
      return nothing;
    }
    return nothing + (parts.conv ? bias.view({node.out, 1, 1}) : bias);
  }
  const auto x = torch::cat(inputs, tree_.channel_dim());
  const auto weight = torch::cat(used, 1);
  return parts.conv ? torch::conv2d(x, weight, bias, 1, 1)
                    : torch::linear(x, weight, bias);
}

Reference::Values Reference::values_of(
    const Node& node, const torch::Tensor& input) {
  if (calls_.is_by_samples(node)) {
    return values_of_samples(node, input);
  }
  const auto open = open_now(node);
  Values values;
  for (size_t i = 0; i < node.children.size(); ++i) {
    const auto& child = *node.children[i];
    const bool is_open =
        std::find(open.begin(), open.end(), static_cast<int64_t>(i)) !=
        open.end();
    values.push_back(
        is_open ? Value{run(child, input), {}}
                : run_closed(node, child, input));
  }
  return values;
}

Reference::Values Reference::values_of_samples(
    const Node& node, const torch::Tensor& input) {
  const auto samples =
      oracles_.at(node.id).samples(calls_.open(node, input.size(0)), training_);
  Values values;
  for (size_t i = 0; i < node.children.size(); ++i) {
    const auto count = static_cast<int64_t>(samples[i].size());
    const auto& child = *node.children[i];
    if (count == 0) {
      values.emplace_back();
    } else if (count == input.size(0)) {
      values.push_back(Value{run(child, input), {}});
    } else {
      const auto rows = torch::tensor(samples[i]);
      values.push_back(Value{run(child, input.index_select(0, rows)), rows});
    }
  }
  return values;
}

std::vector<int64_t> Reference::open_now(const Node& node) {
  const bool draws = training_ && node.draws &&
                     (node.kind != NodeKind::kLayerDrop || node.drop_rate > 0);
  return draws ? oracles_.at(node.id).open_branches() : open_.at(node.id);
}

std::optional<Reference::Value> Reference::run_closed(
    const Node& node, const Node& child, const torch::Tensor& input) {
  if (node.skip == Skip::kZeroFill) {
    return std::nullopt;
  }
  std::map<int64_t, std::vector<DrawState>> draws;
  for (const auto& [id, oracle] : oracles_) {
    draws[id] = oracle.states();
  }
  std::vector<torch::Tensor> buffers;
  for (const auto& buffer : buffers_of(parts_)) {
    buffers.push_back(buffer.clone());
  }
  auto stream = at::detail::getDefaultCPUGenerator();
  const auto stream_before = stream.get_state();
  torch::Tensor value;
  {
    const torch::NoGradGuard no_grad;
    const test::NoAutocastCache no_cache;
    value = run(child, input).detach();
  }
  stream.set_state(stream_before);
  if (!node.track_statistics) {
    copy_values(buffers, buffers_of(parts_));
  }
  for (auto& [id, oracle] : oracles_) {
    oracle.set_states(draws.at(id));
  }
  return node.closed_value == ClosedValue::kDetached
             ? std::optional(Value{value, {}})
             : std::nullopt;
}

torch::Tensor Reference::zeros(
    const torch::Tensor& input, int64_t channels) const {
  return torch::zeros(
      sizes_of(tree_, input.size(0), channels), input.options());
}

torch::Tensor Reference::whole(const Value& value, int64_t batch) const {
  if (!value.rows.defined()) {
    return value.tensor;
  }
  auto sizes = value.tensor.sizes().vec();
  sizes.front() = batch;
  return torch::zeros(sizes, value.tensor.options())
      .index_copy(0, value.rows, value.tensor);
}

torch::Tensor Reference::reduced(
    const Node& node, const Values& values, const torch::Tensor& input) const {
  const int64_t batch = input.size(0);
  auto sum = wide(zeros(input, node.out));
  auto counts = torch::zeros({batch}, sum.options());
  for (const auto& value : values) {
    if (value) {
      sum = sum + whole(*value, batch);
      counts =
          counts + whole(
                       {torch::ones({value->tensor.size(0)}, sum.options()),
                        value->rows},
                       batch);
    }
  }
  if (node.reduction == Reduction::kMean) {
    std::vector<int64_t> sizes(static_cast<size_t>(sum.dim()), 1);
    sizes.front() = batch;
    sum = sum / counts.clamp_min(1).view(sizes);
  }
  return sum.to(input.scalar_type());
}

torch::Tensor Reference::concatenated(
    const Node& node, const Values& values, const torch::Tensor& input) const {
  std::vector<torch::Tensor> parts;
  for (size_t i = 0; i < values.size(); ++i) {
    parts.push_back(
        values[i] ? whole(*values[i], input.size(0))
                  : zeros(input, node.children[i]->out));
  }
  return torch::cat(parts, tree_.channel_dim());
}

}  // namespace gatedpaths::differential
