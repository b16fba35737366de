// SPDX-License-Identifier: MIT
#include <gatedpaths/exchange/dense_state.hpp>

#include "../slots/dense_parts.hpp"
#include "../text/tensor_text.hpp"
#include "state_copies.hpp"
#include "state_difference.hpp"

#include <cstddef>
#include <unordered_set>
#include <utility>
#include <vector>

namespace gatedpaths {
namespace {

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
  for (const auto& tensor : detail::dense_tensors(net)) {
    dense.insert(tensor.name, tensor.joined(tensor.parts));
  }
  return dense;
}

void slots_from_dense(torch::nn::Module& net, const StateDict& dense) {
  const auto net_tensors = detail::dense_tensors(net);
  StateComparison comparison(dense);
  for (const auto& tensor : net_tensors) {
    comparison.expect(tensor.name, tensor.sizes(), /*required=*/true);
  }
  comparison.finish("slots_from_dense");

  detail::StateCopies copies;
  for (const auto& tensor : net_tensors) {
    auto values = tensor.split(dense[tensor.name]);
    for (size_t i = 0; i < values.size(); ++i) {
      copies.add(
          "tensor",
          tensor.part_names[i],
          tensor.parts[i],
          std::move(values[i]));
    }
  }
  detail::StateDifference difference;
  copies.check(difference);
  difference.check("slots_from_dense");
  copies.copy();
}

StateDict join_slots(const torch::nn::Module& net, const StateDict& tensors) {
  const auto net_tensors = detail::dense_tensors(net);
  StateComparison comparison(tensors);
  for (const auto& tensor : net_tensors) {
    for (size_t i = 0; i < tensor.parts.size(); ++i) {
      comparison.expect(
          tensor.part_names[i], tensor.parts[i].sizes(), /*required=*/false);
    }
  }
  comparison.finish("join_slots");

  StateDict dense;
  for (const auto& tensor : net_tensors) {
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
  const auto net_tensors = detail::dense_tensors(net);
  StateComparison comparison(dense);
  for (const auto& tensor : net_tensors) {
    comparison.expect(tensor.name, tensor.sizes(), /*required=*/false);
  }
  comparison.finish("split_slots");

  StateDict tensors;
  for (const auto& tensor : net_tensors) {
    const torch::Tensor value = find_tensor(dense, tensor.name);
    if (!value.defined()) {
      continue;
    }
    auto values = tensor.split(value);
    for (size_t i = 0; i < values.size(); ++i) {
      tensors.insert(tensor.part_names[i], values[i].clone());
    }
  }
  return tensors;
}

}  // namespace gatedpaths
