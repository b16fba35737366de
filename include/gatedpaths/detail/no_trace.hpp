// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/modules/sample_gated_module.hpp>
#include <gatedpaths/paths/gated_module.hpp>

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace gatedpaths {
class InputGateImpl;

namespace detail {

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
/// nothing of what gates in it draw or run, no entry in autocast's cache.
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
  struct Draws {
    GatedModule* gate;
    std::vector<int64_t> drawn;
    bool drawn_holds;
    std::optional<std::vector<int64_t>> ran;
    std::optional<DrawState> state;
  };
  struct SampleDraws {
    SampleGatedModule* gate;
    std::shared_ptr<const SampleGates> gates;
    std::optional<DrawState> state;
  };

  void keep_draws(torch::nn::Module& module);

  at::NoGradGuard no_grad_;
  RandomStreams streams_;
  bool autocast_cache_;
  std::vector<std::pair<at::Tensor, at::Tensor>> buffers_;  // live, kept
  std::vector<Draws> draws_;
  std::vector<SampleDraws> sample_draws_;
  std::vector<std::pair<InputGateImpl*, DrawState>> noise_;
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

}  // namespace detail
}  // namespace gatedpaths
