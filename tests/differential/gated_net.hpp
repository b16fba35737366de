// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/any_branch.hpp>
#include <gatedpaths/gates/gated_module.hpp>

#include "differential/parts.hpp"
#include "differential/step_calls.hpp"
#include "differential/tree.hpp"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdint>
#include <map>
#include <memory>

namespace gatedpaths::differential {

/// A tree as GatedPaths runs it.
class GatedNet {
 public:
  explicit GatedNet(const Tree& tree);
  /// The same around parts that are there.
  GatedNet(const Tree& tree, AllParts parts);

  torch::Tensor forward(const torch::Tensor& input) {
    return root_.forward(input);
  }

  const std::shared_ptr<torch::nn::Module>& module() const {
    return root_.ptr();
  }
  const AllParts& parts() const { return parts_; }

  /// By the node's number.
  const std::map<int64_t, GatedModule*>& gates() const { return gates_; }

  /// The forms of the calls from now on.
  void set_calls(const StepCalls& calls) { *calls_ = calls; }

 private:
  class Builder;

  AllParts parts_;
  std::map<int64_t, GatedModule*> gates_;
  std::shared_ptr<StepCalls> calls_ = std::make_shared<StepCalls>();
  AnyBranch root_;
};

}  // namespace gatedpaths::differential
