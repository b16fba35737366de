// SPDX-License-Identifier: MIT
// A module of all that load_checked looks at, and its promises.
#pragma once

#include "promise.hpp"

#include <gatedpaths/exchange/checkpoint.hpp>

#include <torch/nn/module.h>
#include <torch/serialize/archive.h>
#include <torch/types.h>

#include <memory>
#include <string>
#include <vector>

namespace gatedpaths::fuzz {

/// Parameters and buffers of several dtypes, one of them under two names where
/// that is asked for, one without elements, one undefined, and a child.
inline std::shared_ptr<torch::nn::Module> small_module(bool has_tie) {
  auto module = std::make_shared<torch::nn::Module>();
  const auto weight = module->register_parameter(
      "weight", torch::arange(6, torch::kFloat).view({2, 3}));
  module->register_parameter("bias", torch::Tensor(), /*requires_grad=*/false);
  module->register_buffer("count", torch::tensor(7, torch::kLong));
  if (has_tie) {
    module->register_parameter("tied", weight);
  }
  auto child = std::make_shared<torch::nn::Module>();
  child->register_parameter("scale", torch::ones({2}, torch::kBFloat16));
  child->register_buffer("weight", torch::zeros({0}, torch::kDouble));
  module->register_module("child", child);
  return module;
}

inline std::string bits_of(const std::vector<torch::Tensor>& tensors) {
  std::string bits;
  for (const auto& tensor : tensors) {
    if (tensor.defined()) {
      const auto values = tensor.detach().contiguous();
      bits.append(
          static_cast<const char*>(values.const_data_ptr()), values.nbytes());
      bits += '|';
    }
  }
  return bits;
}

inline std::vector<torch::Tensor> state_of(const torch::nn::Module& module) {
  auto tensors = module.parameters();
  for (const auto& buffer : module.buffers()) {
    tensors.push_back(buffer);
  }
  return tensors;
}

/// Loads the archive into a small module of this kind: a module that is as it
/// was, or one whose tensors are the same ones with an archive's values, which
/// it takes a second time.
inline void check_load(torch::serialize::InputArchive& archive, unsigned kind) {
  const auto module = small_module((kind & 2U) != 0);
  const auto tensors = state_of(*module);
  const auto before = bits_of(tensors);
  if (is_refused<c10::ValueError>(
          "load_checked: ", [&] { load_checked(*module, archive); })) {
    require(bits_of(tensors) == before, "nothing has changed after an error");
    return;
  }
  const auto after = state_of(*module);
  require(after.size() == tensors.size(), "the same tensors");
  for (std::size_t i = 0; i < after.size(); ++i) {
    require(after[i].is_same(tensors[i]), "the same tensors");
  }
  const auto second = small_module((kind & 2U) != 0);
  load_checked(*second, archive);
  require(
      bits_of(state_of(*second)) == bits_of(tensors),
      "an archive has the same values when it is loaded again");
}

}  // namespace gatedpaths::fuzz
