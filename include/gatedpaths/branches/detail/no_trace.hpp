// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/own_streams.hpp>
#include <gatedpaths/branches/detail/restorable.hpp>
#include <gatedpaths/export.hpp>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <memory>
#include <utility>
#include <vector>

namespace gatedpaths::detail {

/// While it lives, forwards of `module` leave nothing behind: no graph, no
/// change of its buffers, no number drawn from the default random streams
/// (`OwnStreams`), nothing of what each `Restorable` in it remembers, no entry
/// in autocast's cache.
///
/// Also where a forward throws.
class GATEDPATHS_EXPORT NoTrace {
 public:
  /// `track_statistics` leaves the buffers to the module.
  explicit NoTrace(torch::nn::Module& module, bool track_statistics = false);
  ~NoTrace();
  NoTrace(const NoTrace&) = delete;
  NoTrace& operator=(const NoTrace&) = delete;

 private:
  void keep_states(torch::nn::Module& module);

  at::NoGradGuard no_grad_;
  OwnStreams streams_;
  bool autocast_cache_;
  std::vector<std::pair<at::Tensor, at::Tensor>> buffers_;  // live, kept
  std::vector<std::unique_ptr<KeptState>> states_;
};

/// While it lives, `module` and all below it are in eval mode; afterwards each
/// is in the mode that it had.
class GATEDPATHS_EXPORT EvalScope {
 public:
  explicit EvalScope(torch::nn::Module& module);
  ~EvalScope();
  EvalScope(const EvalScope&) = delete;
  EvalScope& operator=(const EvalScope&) = delete;

 private:
  // A parent stands before its children: train() recurses, so restoring in
  // this order leaves each with its own mode.
  std::vector<std::pair<torch::nn::Module*, bool>> modes_;
};

}  // namespace gatedpaths::detail
