// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/no_trace.hpp>

#include <ATen/autocast_mode.h>
#include <c10/core/InferenceMode.h>

#include <utility>

namespace gatedpaths::detail {
namespace {

void collect_buffers(
    const torch::nn::Module& module,
    std::vector<std::pair<at::Tensor, at::Tensor>>& buffers) {
  for (const auto& buffer : module.buffers(/*recurse=*/false)) {
    if (buffer.defined()) {
      buffers.emplace_back(buffer, buffer.variable_data());
    }
  }
  for (const auto& child : module.children()) {
    collect_buffers(*child, buffers);
  }
}

void collect_modes(
    torch::nn::Module& module,
    std::vector<std::pair<torch::nn::Module*, bool>>& modes) {
  modes.emplace_back(&module, module.is_training());
  for (const auto& child : module.children()) {
    collect_modes(*child, modes);
  }
}

}  // namespace

NoTrace::NoTrace(torch::nn::Module& module, bool track_statistics)
    : autocast_cache_(at::autocast::is_autocast_cache_enabled()) {
  if (!track_statistics) {
    collect_buffers(module, buffers_);
    const c10::InferenceMode normal_tensors(false);
    for (auto& [live, kept] : buffers_) {
      // The module works on a copy, and gets its own memory back afterwards:
      // copying values back would count as a change for a graph that an open
      // forward of the same buffers has recorded.
      live.set_data(kept.clone());
    }
  }
  keep_states(module);
  // A weight that is cast without a graph must not be found by an open forward.
  at::autocast::set_autocast_cache_enabled(false);
}

NoTrace::~NoTrace() {
  at::autocast::set_autocast_cache_enabled(autocast_cache_);
  states_.clear();
  for (auto& [live, kept] : buffers_) {
    live.set_data(kept);
  }
}

void NoTrace::keep_states(torch::nn::Module& module) {
  if (auto* restorable = dynamic_cast<Restorable*>(&module)) {
    states_.push_back(restorable->keep());
  }
  for (const auto& child : module.children()) {
    keep_states(*child);
  }
}

EvalScope::EvalScope(torch::nn::Module& module) {
  collect_modes(module, modes_);
  module.eval();
}

EvalScope::~EvalScope() {
  for (auto& [module, training] : modes_) {
    if (module->is_training() != training) {
      module->train(training);
    }
  }
}

}  // namespace gatedpaths::detail
