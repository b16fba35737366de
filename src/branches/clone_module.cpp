// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/clone_module.hpp>

#include <gatedpaths/branches/detail/own_streams.hpp>

#include <c10/util/Exception.h>
#include <c10/util/Type.h>
#include <torch/nn/modules/container/sequential.h>

#include <string>
#include <typeinfo>

namespace gatedpaths::detail {
namespace {

thread_local SharedClones* innermost_clones = nullptr;

// A class without a clone() of its own is copied as the one that it derives
// from, and in a Sequential as nothing.
void check_copy(const torch::nn::Module& from, const torch::nn::Module* to) {
  if (to != nullptr) {
    const auto children = from.children();
    const auto copies = to->children();
    TORCH_CHECK(
        children.size() == copies.size(),
        "clone: expected the clone of ",
        from.name(),
        " to have ",
        children.size(),
        " children, got ",
        copies.size());
    for (size_t i = 0; i < children.size(); ++i) {
      check_copy(*children[i], copies[i].get());
    }
  }
  TORCH_CHECK_TYPE(
      to != nullptr && typeid(*to) == typeid(from),
      "clone: expected ",
      type_text(&from),
      ", got ",
      type_text(to),
      "; give the class a clone() of its own");
}

// LibTorch's clone of a Sequential calls its children "0", "1", ...
void restore_names(const torch::nn::Module& from, torch::nn::Module& to) {
  const auto names = from.named_children().keys();
  const auto children = to.named_children();
  if (names == children.keys() ||
      dynamic_cast<torch::nn::SequentialImpl*>(&to) == nullptr) {
    return;
  }
  for (const std::string& name : children.keys()) {
    to.unregister_module(name);
  }
  for (size_t i = 0; i < names.size(); ++i) {
    to.register_module(names[i], children[i].value());
  }
}

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
  restore_names(from, to);
  const auto children = from.children();
  const auto child_copies = to.children();
  for (size_t i = 0; i < children.size(); ++i) {
    restore(*children[i], *child_copies[i]);
  }
}

}  // namespace

SharedClones::SharedClones() : outer_(innermost_clones) {
  innermost_clones = this;
}

SharedClones::~SharedClones() { innermost_clones = outer_; }

std::string type_text(const torch::nn::Module* module) {
  return module == nullptr ? "none"
                           : "a " + c10::demangle(typeid(*module).name());
}

std::shared_ptr<torch::nn::Module> clone_module(
    const torch::nn::Module& module,
    const std::optional<torch::Device>& device) {
  auto* const shared = innermost_clones;
  if (shared != nullptr) {
    const auto known = shared->clones.find(&module);
    if (known != shared->clones.end()) {
      return known->second;
    }
  }
  // The copy's layers draw weights before they get those of the module.
  const OwnStreams streams;
  auto copy = module.clone(device);
  check_copy(module, copy.get());
  restore(module, *copy);
  if (shared != nullptr) {
    shared->clones.emplace(&module, copy);
  }
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
