// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/no_trace.hpp>

#include <ATen/autocast_mode.h>

#include <utility>

namespace gatedpaths::detail {
namespace {

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
    : autocast_cache_(at::autocast::is_autocast_cache_enabled()),
      kept_(module, track_statistics) {
  // A weight that is cast without a graph must not be found by an open forward.
  at::autocast::set_autocast_cache_enabled(false);
}

NoTrace::~NoTrace() {
  at::autocast::set_autocast_cache_enabled(autocast_cache_);
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
