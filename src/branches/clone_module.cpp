// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/clone_module.hpp>

#include <c10/util/Exception.h>

namespace gatedpaths::detail {
namespace {

void restore(const torch::nn::Module& from, torch::nn::Module& to) {
  // train() recurses, so parents come first and children set themselves right.
  if (to.is_training() != from.is_training()) {
    to.train(from.is_training());
  }
  const auto parameters = from.named_parameters(/*recurse=*/false);
  auto copies = to.named_parameters(/*recurse=*/false);
  for (const auto& parameter : parameters) {
    if (auto* copy = copies.find(parameter.key());
        copy != nullptr && copy->defined()) {
      copy->set_requires_grad(parameter.value().requires_grad());
    }
  }
  const auto children = from.children();
  const auto child_copies = to.children();
  TORCH_CHECK(
      children.size() == child_copies.size(),
      "clone: expected the clone of ",
      from.name(),
      " to have ",
      children.size(),
      " children, got ",
      child_copies.size());
  for (size_t i = 0; i < children.size(); ++i) {
    restore(*children[i], *child_copies[i]);
  }
}

}  // namespace

std::shared_ptr<torch::nn::Module> clone_module(
    const torch::nn::Module& module,
    const std::optional<torch::Device>& device) {
  auto copy = module.clone(device);
  restore(module, *copy);
  return copy;
}

void copy_requires_grad(const torch::nn::Module& from, torch::nn::Module& to) {
  const auto parameters = from.parameters();
  auto copies = to.parameters();
  for (size_t i = 0; i < copies.size(); ++i) {
    copies[i].set_requires_grad(parameters[i].requires_grad());
  }
}

}  // namespace gatedpaths::detail
