// SPDX-License-Identifier: MIT
// A network while its paths are evaluated. Not installed.
#pragma once

#include <gatedpaths/branches/detail/kept_module.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/search/stage.hpp>

#include <c10/util/ArrayRef.h>
#include <torch/nn/module.h>

#include <string>
#include <utility>
#include <vector>

namespace gatedpaths::detail {

/// While it lives, a network is in eval mode; afterwards its modes, gates and
/// buffers are as they were, and what autocast has kept of its weights is gone:
/// it cannot be used in training where it was made in inference mode.
class EvaluatedNet {
 public:
  explicit EvaluatedNet(torch::nn::Module& net);
  ~EvaluatedNet();
  EvaluatedNet(const EvaluatedNet&) = delete;
  EvaluatedNet& operator=(const EvaluatedNet&) = delete;

  /// Throws where a gate of the space does not lie in the network.
  void check_space(const PathSpace& space) const;

  /// Throws where a module of a stage is in training.
  static void check_stages(c10::ArrayRef<Stage> stages);

  /// Throws where a module of the network is in training: its forward must have
  /// done that.
  void check_modes() const;

 private:
  KeptModule kept_;
  std::vector<std::pair<const torch::nn::Module*, std::string>> modules_;
};

}  // namespace gatedpaths::detail
