// SPDX-License-Identifier: MIT
#include <gatedpaths/training/dense_state.hpp>

#include <gatedpaths/modules/slot_consumer.hpp>

#include <ATen/ops/cat.h>
#include <c10/util/Exception.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <unordered_set>
#include <utility>
#include <vector>

namespace gatedpaths {
namespace {

// One tensor of the dense network and where its parts are in this one.
struct DenseTensor {
  std::string name;
  std::vector<torch::Tensor> parts;
  int64_t dim = 0;
  bool whole = true;

  // What the dense network holds; undefined where this one has no such tensor.
  torch::Tensor joined() const {
    if (parts.size() == 1) {
      return parts.front().detach();
    }
    if (!whole) {
      const torch::NoGradGuard no_grad;
      return at::cat(parts, dim);
    }
    // Counters that each slot has for itself: the furthest one.
    return *std::max_element(
        parts.begin(), parts.end(), [](const auto& a, const auto& b) {
          return a.template item<int64_t>() < b.template item<int64_t>();
        });
  }

  std::vector<int64_t> sizes() const {
    auto result = parts.front().sizes().vec();
    if (!whole) {
      auto& joined_size = result[static_cast<size_t>(dim)];
      joined_size = 0;
      for (const auto& part : parts) {
        joined_size += part.size(dim);
      }
    }
    return result;
  }
};

std::string dotted(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : prefix + "." + name;
}

class Walk {
 public:
  explicit Walk(const torch::nn::Module& net) { visit(net, ""); }

  std::vector<DenseTensor> tensors;

 private:
  void visit(const torch::nn::Module& module, const std::string& prefix) {
    if (const auto* layer = dynamic_cast<const SlotConsumer*>(&module)) {
      visit_splits(module, *layer, prefix);
    }
    for (const auto& own : module.named_parameters(/*recurse=*/false)) {
      add(dotted(prefix, own.key()), own.value());
    }
    for (const auto& own : module.named_buffers(/*recurse=*/false)) {
      add(dotted(prefix, own.key()), own.value());
    }
    for (const auto& child : module.named_children()) {
      visit(*child.value(), dotted(prefix, child.key()));
    }
  }

  void visit_splits(
      const torch::nn::Module& module,
      const SlotConsumer& layer,
      const std::string& prefix) {
    const auto parameters = module.named_parameters();
    const auto buffers = module.named_buffers();
    for (const SlotSplit& split : layer.slot_splits()) {
      DenseTensor tensor{
          .name = dotted(prefix, split.dense_name),
          .parts = {},
          .dim = split.dim,
          .whole = split.whole};
      for (const auto& name : split.slot_names) {
        const auto* part = parameters.find(name);
        part = part != nullptr ? part : buffers.find(name);
        TORCH_INTERNAL_ASSERT(part != nullptr, "no tensor ", name);
        tensor.parts.push_back(*part);
        done_.insert(dotted(prefix, name));
      }
      tensors.push_back(std::move(tensor));
    }
  }

  void add(const std::string& name, const torch::Tensor& tensor) {
    if (tensor.defined() && done_.insert(name).second) {
      tensors.push_back({.name = name, .parts = {tensor}});
    }
  }

  std::unordered_set<std::string> done_;
};

}  // namespace

StateDict slots_to_dense(const torch::nn::Module& net) {
  StateDict dense;
  for (const DenseTensor& tensor : Walk(net).tensors) {
    dense.insert(tensor.name, tensor.joined());
  }
  return dense;
}

void slots_from_dense(torch::nn::Module& net, const StateDict& dense) {
  const Walk walk(net);
  std::vector<std::string> problems;
  std::unordered_set<std::string> expected;
  for (const DenseTensor& tensor : walk.tensors) {
    expected.insert(tensor.name);
    const auto* source = dense.find(tensor.name);
    if (source == nullptr || !source->defined()) {
      problems.push_back(fmt::format("'{}' is missing", tensor.name));
    } else if (source->sizes() != c10::IntArrayRef(tensor.sizes())) {
      problems.push_back(fmt::format(
          "expected '{}' of [{}], got [{}]",
          tensor.name,
          fmt::join(tensor.sizes(), ", "),
          fmt::join(source->sizes(), ", ")));
    }
  }
  for (const auto& item : dense) {
    if (!expected.contains(item.key())) {
      problems.push_back(fmt::format("'{}' is unexpected", item.key()));
    }
  }
  TORCH_CHECK_VALUE(
      problems.empty(),
      "slots_from_dense: ",
      fmt::format("{}", fmt::join(problems, "; ")));

  const torch::NoGradGuard no_grad;
  for (const DenseTensor& tensor : walk.tensors) {
    const torch::Tensor& source = dense[tensor.name];
    int64_t first = 0;
    for (torch::Tensor part : tensor.parts) {
      if (tensor.whole) {
        part.copy_(source);
      } else {
        const int64_t size = part.size(tensor.dim);
        part.copy_(source.narrow(tensor.dim, first, size));
        first += size;
      }
    }
  }
}

}  // namespace gatedpaths
