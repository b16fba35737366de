// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/branch_label.hpp>
#include <gatedpaths/branches/detail/branch_watch.hpp>
#include <gatedpaths/branches/detail/kept_module.hpp>
#include <gatedpaths/branches/detail/own_streams.hpp>
#include <gatedpaths/export.hpp>

#include <ATen/core/grad_mode.h>
#include <torch/nn/module.h>

#include <utility>
#include <vector>

namespace gatedpaths::detail {

/// While it lives, forwards of `module` leave nothing behind: no graph, nothing
/// of what a `KeptModule` puts back, no number drawn from the default random
/// streams (`OwnStreams`), no entry in autocast's cache, nothing that a
/// `BranchWatch` sees.
///
/// Also where a forward throws.
class GATEDPATHS_EXPORT NoTrace {
 public:
  /// `track_statistics` leaves the buffers to the module.
  explicit NoTrace(torch::nn::Module& module, bool track_statistics = false);
  ~NoTrace();
  NoTrace(const NoTrace&) = delete;
  NoTrace& operator=(const NoTrace&) = delete;

  /// Throws where a forward changed what cannot be put back, see `KeptModule`.
  void check(const BranchLabel& branch) const { kept_.check(branch); }

 private:
  at::NoGradGuard no_grad_;
  OwnStreams streams_;
  bool autocast_cache_;
  PausedWatch paused_;
  KeptModule kept_;
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
