// SPDX-License-Identifier: MIT
// The second stage: the supernet says of each path how good it is.
#pragma once

#include "options.hpp"
#include "progress.hpp"
#include "scores.hpp"
#include "supernet.hpp"

#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/search/path_metric.hpp>

#include <torch/types.h>

#include <cstdint>
#include <vector>

namespace nas_bench_macro {

/// Scores paths on the held-out images, each with batch norm's statistics of
/// its own, and remembers all that it has scored, in a file, too.
class Ranking {
 public:
  /// `progress` shows how far it is. All three have to outlive it.
  Ranking(
      const Options& options, Supernet& supernet, cifar10::Progress& progress);

  /// Scores these paths, but for those that are scored already. False where a
  /// signal came first.
  bool score(const std::vector<gatedpaths::Path>& paths);

  /// All that is scored.
  const Scores& scores() const { return scores_; }

  /// All paths of the space, or as many random ones as --rank says.
  std::vector<gatedpaths::Path> paths() const;

  /// The images for batch norm, as `recalibrate_batch_norm` takes them.
  const std::vector<torch::Tensor>& recalibration() const {
    return recalibration_;
  }

 private:
  const Options& options_;
  Supernet& supernet_;
  cifar10::Progress& progress_;
  std::vector<gatedpaths::EvaluationBatch> batches_;
  std::vector<torch::Tensor> recalibration_;
  Scores scores_;
};

}  // namespace nas_bench_macro
