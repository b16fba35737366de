// SPDX-License-Identifier: MIT
#include <gatedpaths/exchange/dense_state.hpp>

#include <gatedpaths/slots/slot_consumer.hpp>

#include "../text/tensor_text.hpp"
#include "state_difference.hpp"

#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <unordered_set>
#include <utility>
#include <vector>

namespace gatedpaths {
namespace {

// One tensor of the dense network and where its parts are in this one.
struct DenseTensor {
  std::string name;
  std::vector<std::string> part_names;
  std::vector<torch::Tensor> parts;
  int64_t dim = 0;
  bool whole = true;

  // What the dense network holds where this one holds `values` in place of its
  // parts; undefined where all of them are.
  torch::Tensor joined(std::vector<torch::Tensor> values) const {
    const auto given = std::find_if(
        values.begin(), values.end(), [](const torch::Tensor& value) {
          return value.defined();
        });
    if (given == values.end()) {
      return {};
    }
    if (parts.size() == 1) {
      return given->detach();
    }
    if (whole) {
      return furthest(std::move(values));
    }
    const torch::NoGradGuard no_grad;
    const auto options = given->options();
    for (size_t i = 0; i < parts.size(); ++i) {
      if (!values[i].defined()) {
        values[i] = at::zeros(parts[i].sizes(), options);
      }
    }
    return at::cat(values, dim);
  }

  // The values of the parts where the dense network holds `dense`.
  std::vector<torch::Tensor> split(const torch::Tensor& dense) const {
    std::vector<torch::Tensor> values;
    int64_t first = 0;
    for (const auto& part : parts) {
      const int64_t size = whole ? 0 : part.size(dim);
      values.push_back(
          whole ? dense.detach() : dense.detach().narrow(dim, first, size));
      first += size;
    }
    return values;
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

 private:
  // Of counters that each slot has for itself.
  static torch::Tensor furthest(std::vector<torch::Tensor> counters) {
    std::erase_if(counters, [](const torch::Tensor& counter) {
      return !counter.defined();
    });
    return *std::max_element(
        counters.begin(), counters.end(), [](const auto& a, const auto& b) {
          return a.template item<int64_t>() < b.template item<int64_t>();
        });
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
          .part_names = {},
          .parts = {},
          .dim = split.dim,
          .whole = split.whole};
      for (const auto& name : split.slot_names) {
        const auto* part = parameters.find(name);
        part = part != nullptr ? part : buffers.find(name);
        TORCH_INTERNAL_ASSERT(part != nullptr, "no tensor ", name);
        tensor.parts.push_back(*part);
        tensor.part_names.push_back(dotted(prefix, name));
        done_.insert(tensor.part_names.back());
      }
      tensors.push_back(std::move(tensor));
    }
  }

  void add(const std::string& name, const torch::Tensor& tensor) {
    if (tensor.defined() && done_.insert(name).second) {
      tensors.push_back(
          {.name = name, .part_names = {name}, .parts = {tensor}});
    }
  }

  std::unordered_set<std::string> done_;
};

// The tensor of this name; undefined where there is none.
torch::Tensor find_tensor(const StateDict& tensors, const std::string& name) {
  const auto* found = tensors.find(name);
  return found != nullptr ? *found : torch::Tensor();
}

// Compares tensors with those that are expected, and tells every difference.
class StateComparison {
 public:
  explicit StateComparison(const StateDict& tensors) : tensors_(tensors) {}

  // `required`: an error where it is left out.
  void expect(const std::string& name, c10::IntArrayRef sizes, bool required) {
    expected_.insert(name);
    const torch::Tensor tensor = find_tensor(tensors_, name);
    if (!tensor.defined()) {
      if (required) {
        difference_.missing(name);
      }
    } else if (tensor.sizes() != sizes) {
      difference_.unlike(
          "tensor",
          name,
          detail::sizes_text(sizes),
          detail::sizes_text(tensor.sizes()));
    }
  }

  void finish(const char* function) {
    for (const auto& item : tensors_) {
      if (!expected_.contains(item.key())) {
        difference_.unexpected(item.key());
      }
    }
    difference_.check(function);
  }

 private:
  const StateDict& tensors_;
  std::unordered_set<std::string> expected_;
  detail::StateDifference difference_;
};

}  // namespace

StateDict slots_to_dense(const torch::nn::Module& net) {
  StateDict dense;
  for (const DenseTensor& tensor : Walk(net).tensors) {
    dense.insert(tensor.name, tensor.joined(tensor.parts));
  }
  return dense;
}

void slots_from_dense(torch::nn::Module& net, const StateDict& dense) {
  const Walk walk(net);
  StateComparison comparison(dense);
  for (const DenseTensor& tensor : walk.tensors) {
    comparison.expect(tensor.name, tensor.sizes(), /*required=*/true);
  }
  comparison.finish("slots_from_dense");

  const torch::NoGradGuard no_grad;
  for (const DenseTensor& tensor : walk.tensors) {
    const auto values = tensor.split(dense[tensor.name]);
    for (size_t i = 0; i < values.size(); ++i) {
      torch::Tensor(tensor.parts[i]).copy_(values[i]);
    }
  }
}

StateDict join_slots(const torch::nn::Module& net, const StateDict& tensors) {
  const Walk walk(net);
  StateComparison comparison(tensors);
  for (const DenseTensor& tensor : walk.tensors) {
    for (size_t i = 0; i < tensor.parts.size(); ++i) {
      comparison.expect(
          tensor.part_names[i], tensor.parts[i].sizes(), /*required=*/false);
    }
  }
  comparison.finish("join_slots");

  StateDict dense;
  for (const DenseTensor& tensor : walk.tensors) {
    std::vector<torch::Tensor> values;
    for (const auto& name : tensor.part_names) {
      values.push_back(find_tensor(tensors, name));
    }
    if (auto joined = tensor.joined(std::move(values)); joined.defined()) {
      dense.insert(tensor.name, std::move(joined));
    }
  }
  return dense;
}

StateDict split_slots(const torch::nn::Module& net, const StateDict& dense) {
  const Walk walk(net);
  StateComparison comparison(dense);
  for (const DenseTensor& tensor : walk.tensors) {
    comparison.expect(tensor.name, tensor.sizes(), /*required=*/false);
  }
  comparison.finish("split_slots");

  StateDict tensors;
  for (const DenseTensor& tensor : walk.tensors) {
    const torch::Tensor value = find_tensor(dense, tensor.name);
    if (!value.defined()) {
      continue;
    }
    auto values = tensor.split(value);
    for (size_t i = 0; i < values.size(); ++i) {
      tensors.insert(tensor.part_names[i], std::move(values[i]));
    }
  }
  return tensors;
}

}  // namespace gatedpaths
