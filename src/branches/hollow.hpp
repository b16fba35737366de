// SPDX-License-Identifier: MIT
// Modules that are asked for shapes alone. Not installed.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <string>
#include <unordered_set>
#include <vector>

namespace gatedpaths::detail {

/// Parameters and buffers, by identity.
using TensorSet = std::unordered_set<const c10::TensorImpl*>;

/// The parameters and buffers of a module and all below it.
TensorSet tensors_of(const torch::nn::Module& module);

/// Takes the memory of the parameters and buffers of a module and all below it,
/// but for those in `kept`: each becomes a single zero, expanded to its sizes,
/// without a gradient. The module can then be run for the shape of what it
/// returns, and for nothing else.
void make_hollow(torch::nn::Module& module, const TensorSet& kept);

/// Which tensors of a module are hollow, by name. What moves or copies them
/// fills them with memory, which this takes again.
class HollowTensors {
 public:
  explicit HollowTensors(torch::nn::Module& module);
  ~HollowTensors();
  HollowTensors(const HollowTensors&) = delete;
  HollowTensors& operator=(const HollowTensors&) = delete;

  /// The same for a copy of the module.
  void make_hollow_too(torch::nn::Module& copy) const;

 private:
  torch::nn::Module& module_;
  std::unordered_set<std::string> names_;
};

}  // namespace gatedpaths::detail
