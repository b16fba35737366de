// SPDX-License-Identifier: MIT
#include "differential/parts.hpp"

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>

#include <utility>

namespace gatedpaths::differential {
namespace {

std::vector<std::shared_ptr<torch::nn::Module>> modules_of(const Parts& parts) {
  std::vector<std::shared_ptr<torch::nn::Module>> modules;
  const auto add = [&](const auto& holder) {
    if (holder) {
      modules.push_back(holder.ptr());
    }
  };
  add(parts.leaf);
  add(parts.linear);
  add(parts.conv);
  add(parts.norm);
  return modules;
}

Parts make_slot_parts(const Tree& tree, const Node& node) {
  Parts parts;
  std::vector<int64_t> children;
  int64_t sum = 0;
  for (const auto& child : node.children) {
    children.push_back(child->out);
    sum += child->out;
  }
  auto channels = children;
  if (node.flattens) {
    for (int64_t& slot : channels) {
      slot *= kExtent * kExtent;
    }
  }
  if (tree.form == Form::kImages && !node.flattens) {
    parts.conv = SlotConv2d(SlotConvOptions<2>(
                                channels,
                                torch::nn::Conv2dOptions(sum, node.out, 3)
                                    .padding(1)
                                    .bias(node.bias))
                                .coast(node.coasts));
  } else {
    parts.linear = SlotLinear(SlotLinearOptions(channels, node.out)
                                  .bias(node.bias)
                                  .coast(node.coasts));
  }
  if (node.norms) {
    parts.norm = SlotBatchNorm2d(SlotBatchNormOptions(
        children, torch::nn::BatchNormOptions(sum).eps(0.1)));
  }
  return parts;
}

template <class Tensors>
std::vector<torch::Tensor> all_of(const Parts& parts, const Tensors& tensors) {
  std::vector<torch::Tensor> all;
  for (const auto& module : modules_of(parts)) {
    for (auto& tensor : tensors(*module)) {
      all.push_back(tensor);
    }
  }
  return all;
}

template <class Tensors>
std::vector<torch::Tensor> all_of(
    const AllParts& parts, const Tensors& tensors) {
  std::vector<torch::Tensor> all;
  for (const auto& [id, own] : parts) {
    for (auto& tensor : tensors(own)) {
      all.push_back(tensor);
    }
  }
  return all;
}

}  // namespace

std::vector<torch::Tensor> Parts::parameters() const {
  return all_of(*this, [](const auto& module) { return module.parameters(); });
}

std::vector<torch::Tensor> Parts::buffers() const {
  return all_of(*this, [](const auto& module) { return module.buffers(); });
}

AllParts make_parts(const Tree& tree) {
  AllParts all;
  for_each_node(tree.root, [&](const Node& node) {
    Parts parts;
    if (node.kind == NodeKind::kLeaf) {
      parts.leaf = Leaf(node, tree.form);
    } else if (node.kind == NodeKind::kSlots) {
      parts = make_slot_parts(tree, node);
    } else {
      return;
    }
    for (const auto& module : modules_of(parts)) {
      module->to(tree.dtype);
    }
    all.emplace(node.id, std::move(parts));
  });
  return all;
}

std::vector<torch::Tensor> parameters_of(const AllParts& parts) {
  return all_of(parts, [](const Parts& own) { return own.parameters(); });
}

std::vector<torch::Tensor> buffers_of(const AllParts& parts) {
  return all_of(parts, [](const Parts& own) { return own.buffers(); });
}

void copy_values(
    const std::vector<torch::Tensor>& from,
    const std::vector<torch::Tensor>& to) {
  const torch::NoGradGuard no_grad;
  for (size_t i = 0; i < from.size(); ++i) {
    // By data alone: a graph that has saved it does not ask for the old values.
    to[i].variable_data().copy_(from[i]);
  }
}

}  // namespace gatedpaths::differential
