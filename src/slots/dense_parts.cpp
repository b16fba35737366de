// SPDX-License-Identifier: MIT
#include "dense_parts.hpp"

#include <gatedpaths/slots/slot_consumer.hpp>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <c10/util/accumulate.h>
#include <torch/ordered_dict.h>

#include <algorithm>
#include <cstddef>
#include <unordered_set>
#include <utility>

namespace gatedpaths::detail {
namespace {

// Of counters that each slot has for itself.
at::Tensor furthest(std::vector<at::Tensor> counters) {
  std::erase_if(
      counters, [](const at::Tensor& counter) { return !counter.defined(); });
  // Not by items, which would wait for a GPU.
  at::Tensor most = counters.front().detach().clone();
  for (const at::Tensor& counter : counters) {
    most = at::maximum(most, counter);
  }
  return most;
}

std::string dotted(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : prefix + "." + name;
}

// The tensors of a module and all below it.
class NamedTensors {
 public:
  explicit NamedTensors(const torch::nn::Module& module)
      : parameters_(module.named_parameters()),
        buffers_(module.named_buffers()) {}

  const at::Tensor& operator[](const std::string& name) const {
    const auto* found = parameters_.find(name);
    found = found != nullptr ? found : buffers_.find(name);
    TORCH_INTERNAL_ASSERT(found != nullptr, "no tensor ", name);
    return *found;
  }

 private:
  torch::OrderedDict<std::string, at::Tensor> parameters_;
  torch::OrderedDict<std::string, at::Tensor> buffers_;
};

class DenseWalk {
 public:
  explicit DenseWalk(const torch::nn::Module& net) { visit(net, ""); }

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
    const NamedTensors own(module);
    for (const SlotSplit& split : layer.slot_splits()) {
      DenseTensor tensor{
          .name = dotted(prefix, split.dense_name),
          .part_names = {},
          .parts = {},
          .dim = split.dim,
          .whole = split.whole};
      for (const auto& name : split.slot_names) {
        tensor.parts.push_back(own[name]);
        tensor.part_names.push_back(dotted(prefix, name));
        done_.insert(tensor.part_names.back());
      }
      tensors.push_back(std::move(tensor));
    }
  }

  void add(const std::string& name, const at::Tensor& tensor) {
    if (tensor.defined() && done_.insert(name).second) {
      tensors.push_back(
          {.name = name, .part_names = {name}, .parts = {tensor}});
    }
  }

  std::unordered_set<std::string> done_;
};

void assign(
    const at::Tensor& target,
    const at::Tensor& value,
    bool requires_grad,
    Dtypes dtypes) {
  if (dtypes == Dtypes::kOfEach) {
    target.set_data(at::empty_like(target, value.options()));
  }
  target.copy_(value);
  target.set_requires_grad(requires_grad);
}

}  // namespace

at::Tensor DenseTensor::joined(std::vector<at::Tensor> values) const {
  const auto given =
      std::find_if(values.begin(), values.end(), [](const at::Tensor& value) {
        return value.defined();
      });
  if (given == values.end()) {
    return {};
  }
  if (parts.size() == 1) {
    return given->detach().clone();
  }
  if (whole) {
    return furthest(std::move(values));
  }
  const at::NoGradGuard no_grad;
  const auto options = given->options();
  for (size_t i = 0; i < parts.size(); ++i) {
    if (!values[i].defined()) {
      values[i] = at::zeros(parts[i].sizes(), options);
    }
  }
  return at::cat(values, dim);
}

std::vector<at::Tensor> DenseTensor::split(const at::Tensor& dense) const {
  std::vector<at::Tensor> values;
  int64_t first = 0;
  for (const auto& part : parts) {
    const int64_t size = whole ? 0 : part.size(dim);
    values.push_back(
        whole ? dense.detach() : dense.detach().narrow(dim, first, size));
    first += size;
  }
  return values;
}

std::vector<int64_t> DenseTensor::sizes() const {
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

std::vector<DenseTensor> dense_tensors(const torch::nn::Module& net) {
  return DenseWalk(net).tensors;
}

void copy_from_dense(
    torch::nn::Module& layer, const torch::nn::Module& dense, Dtypes dtypes) {
  const at::NoGradGuard no_grad;
  const NamedTensors sources(dense);
  const auto tensors = dense_tensors(layer);
  if (dtypes == Dtypes::kOfWeight) {
    const at::Tensor& weight = sources[tensors.front().name];
    layer.to(weight.device(), weight.scalar_type());
  }
  for (const DenseTensor& tensor : tensors) {
    const at::Tensor& source = sources[tensor.name];
    const auto values = tensor.split(source);
    for (size_t i = 0; i < values.size(); ++i) {
      assign(tensor.parts[i], values[i], source.requires_grad(), dtypes);
    }
  }
  layer.train(dense.is_training());
}

void copy_to_dense(
    const torch::nn::Module& layer, torch::nn::Module& dense, Dtypes dtypes) {
  const at::NoGradGuard no_grad;
  const NamedTensors targets(dense);
  const auto tensors = dense_tensors(layer);
  if (dtypes == Dtypes::kOfWeight) {
    const at::Tensor& weight = tensors.front().parts.front();
    dense.to(weight.device(), weight.scalar_type());
  }
  for (const DenseTensor& tensor : tensors) {
    const bool requires_grad = std::any_of(
        tensor.parts.begin(), tensor.parts.end(), [](const at::Tensor& part) {
          return part.requires_grad();
        });
    assign(
        targets[tensor.name],
        tensor.joined(tensor.parts),
        requires_grad,
        dtypes);
  }
  dense.train(layer.is_training());
}

void check_sum(
    std::string_view where,
    std::string_view option,
    c10::IntArrayRef sizes,
    std::string_view total_name,
    int64_t total) {
  const int64_t sum = c10::sum_integers(sizes);
  TORCH_CHECK_VALUE(
      sum == total,
      where,
      ": expected ",
      option,
      " that add up to the dense layer's ",
      total,
      " ",
      total_name,
      ", got ",
      sizes,
      ", which add up to ",
      sum);
}

}  // namespace gatedpaths::detail
