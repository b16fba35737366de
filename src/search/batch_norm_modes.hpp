// SPDX-License-Identifier: MIT
// Batch norm as zero-cost scores want it. Not installed.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>

#include <functional>
#include <memory>
#include <set>

namespace gatedpaths::detail {

/// Calls `visit` with each batch norm of any dimension below `module`, as what
/// it is.
template <class Visit>
void for_each_batch_norm(torch::nn::Module& module, const Visit& visit) {
  std::set<const torch::nn::Module*> seen;
  const std::function<void(torch::nn::Module&)> walk = [&](torch::nn::Module&
                                                               at) {
    if (!seen.insert(&at).second) {
      return;
    }
    if (auto* one = dynamic_cast<torch::nn::BatchNorm1dImpl*>(&at)) {
      visit(*one);
    } else if (auto* two = dynamic_cast<torch::nn::BatchNorm2dImpl*>(&at)) {
      visit(*two);
    } else if (auto* three = dynamic_cast<torch::nn::BatchNorm3dImpl*>(&at)) {
      visit(*three);
    }
    for (const auto& child : at.children()) {
      if (child != nullptr) {
        walk(*child);
      }
    }
  };
  walk(module);
}

/// While what it returns lives, batch norm normalises by its input's own
/// statistics. What it does to the running ones stays.
std::shared_ptr<void> norms_by_batch(torch::nn::Module& net);

}  // namespace gatedpaths::detail
