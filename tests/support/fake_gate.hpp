// SPDX-License-Identifier: MIT
// Gated modules that compute nothing, to build networks from.
#pragma once

#include <gatedpaths/gates/gated_module.hpp>

#include <torch/nn/module.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace gatedpaths::test {

/// A module that holds others and does nothing.
class Holder : public torch::nn::Module {
 public:
  template <class Child>
  std::shared_ptr<Child> add(
      const std::string& name, std::shared_ptr<Child> child) {
    return register_module(name, std::move(child));
  }
};

inline std::shared_ptr<Holder> holder() { return std::make_shared<Holder>(); }

/// A gate whose branches are empty modules, but for those that are given.
class FakeGate : public torch::nn::Module, public GatedModule {
 public:
  using Inside = std::map<std::string, std::shared_ptr<torch::nn::Module>>;

  explicit FakeGate(
      std::vector<std::string> names,
      int64_t min_open = 1,
      int64_t max_open = 1,
      const Inside& inside = {}) {
    init_gates("FakeGate", std::move(names), min_open, max_open);
    for (const std::string& name : branch_names()) {
      const auto given = inside.find(name);
      branches_.push_back(register_module(
          name,
          given == inside.end() ? std::make_shared<Holder>() : given->second));
    }
  }

  /// As a real gated module begins.
  void forward() { begin_forward(is_training()); }

  /// As a forward with gates of its own begins.
  void forward_of(c10::IntArrayRef branches) { begin_forward_of(branches); }

  /// Registers a child that is no branch.
  void add_head(std::shared_ptr<torch::nn::Module> head) {
    register_module("head", std::move(head));
  }

  const torch::nn::Module& branch_module(int64_t index) const override {
    check_branch_index("branch_module", index);
    return *branches_[static_cast<size_t>(index)];
  }

  std::string_view gate_kind() const noexcept override { return "FakeGate"; }

 private:
  std::vector<std::shared_ptr<torch::nn::Module>> branches_;
};

template <class... Args>
std::shared_ptr<FakeGate> fake_gate(
    std::vector<std::string> names, Args&&... args) {
  return std::make_shared<FakeGate>(
      std::move(names), std::forward<Args>(args)...);
}

}  // namespace gatedpaths::test
