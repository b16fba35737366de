// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/restorable.hpp>
#include <gatedpaths/export.hpp>

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace gatedpaths::detail {

/// Puts the random streams of the CPU and `device` back, when it ends, to where
/// they stood.
class GATEDPATHS_EXPORT RandomStreams {
 public:
  explicit RandomStreams(at::Device device);
  ~RandomStreams();
  RandomStreams(const RandomStreams&) = delete;
  RandomStreams& operator=(const RandomStreams&) = delete;

 private:
  struct CpuStream;

  std::unique_ptr<CpuStream> cpu_stream_;
  std::optional<at::Generator> device_generator_;
  at::Tensor device_stream_;
};

/// While it lives, forwards of `module` leave nothing behind: no graph, no
/// change of its buffers, none of the random streams of the CPU and `device`,
/// nothing of what each `Restorable` in it remembers, no entry in autocast's
/// cache.
///
/// Also where a forward throws.
class GATEDPATHS_EXPORT NoTrace {
 public:
  /// `track_statistics` leaves the buffers to the module.
  NoTrace(
      torch::nn::Module& module,
      at::Device device,
      bool track_statistics = false);
  ~NoTrace();
  NoTrace(const NoTrace&) = delete;
  NoTrace& operator=(const NoTrace&) = delete;

 private:
  void keep_states(torch::nn::Module& module);

  at::NoGradGuard no_grad_;
  RandomStreams streams_;
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
