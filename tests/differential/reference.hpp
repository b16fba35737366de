// SPDX-License-Identifier: MIT
#pragma once

#include "differential/draw_oracle.hpp"
#include "differential/parts.hpp"
#include "differential/step_calls.hpp"
#include "differential/tree.hpp"

#include <torch/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace gatedpaths::differential {

/// What a tree computes, by LibTorch alone: each open branch runs by itself on
/// what it gets, and what they return is concatenated, added up or averaged.
/// Closed branches are zeros of the size that the tree says.
class Reference {
 public:
  /// The values are those of `parts`.
  Reference(const Tree& tree, const AllParts& parts);

  torch::Tensor forward(const torch::Tensor& input) {
    return run(*tree_.root, input);
  }

  void set_open(int64_t gate, std::vector<int64_t> open) {
    open_[gate] = std::move(open);
  }
  void set_calls(const StepCalls& calls) { calls_ = calls; }
  /// Gates and slot layers; the leaves have flags of their own.
  void train(bool training);

  const AllParts& parts() const { return parts_; }
  std::map<int64_t, DrawOracle>& oracles() { return oracles_; }

 private:
  // What a branch returned; `rows` are its samples, undefined for all.
  struct Value {
    torch::Tensor tensor;
    torch::Tensor rows;
  };
  using Values = std::vector<std::optional<Value>>;

  torch::Tensor run(const Node& node, const torch::Tensor& input);
  torch::Tensor run_sequence(const Node& node, torch::Tensor value);
  torch::Tensor run_stochastic_depth(
      const Node& node, const torch::Tensor& input);
  torch::Tensor run_layer_drop(const Node& node, torch::Tensor value);
  torch::Tensor run_slots(const Node& node, const torch::Tensor& input);

  Values values_of(const Node& node, const torch::Tensor& input);
  Values values_of_samples(const Node& node, const torch::Tensor& input);
  std::vector<int64_t> open_now(const Node& node);
  std::optional<Value> run_closed(
      const Node& node, const Node& child, const torch::Tensor& input);

  torch::Tensor zeros(const torch::Tensor& input, int64_t channels) const;
  torch::Tensor whole(const Value& value, int64_t batch) const;
  torch::Tensor reduced(
      const Node& node, const Values& values, const torch::Tensor& input) const;
  torch::Tensor concatenated(
      const Node& node, const Values& values, const torch::Tensor& input) const;

  Tree tree_;
  AllParts parts_;
  std::map<int64_t, std::vector<int64_t>> open_;
  std::map<int64_t, DrawOracle> oracles_;
  StepCalls calls_;
  bool training_ = true;
};

}  // namespace gatedpaths::differential
