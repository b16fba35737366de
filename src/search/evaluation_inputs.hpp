// SPDX-License-Identifier: MIT
// What the parts of one call of `evaluate` share. Not installed.
#pragma once

#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/search/evaluation.hpp>
#include <gatedpaths/search/path_metric.hpp>
#include <gatedpaths/search/stage.hpp>

#include <c10/util/ArrayRef.h>
#include <torch/nn/module.h>

#include "evaluated_net.hpp"

namespace gatedpaths::detail {

struct EvaluationInputs {
  torch::nn::Module& net;
  const EvaluatedNet& evaluated;
  const PathSpace& space;
  c10::ArrayRef<Stage> stages;  // the whole network, where none were given
  c10::ArrayRef<EvaluationBatch> batches;
  const PathMetric& metric;
  const EvaluateOptions& options;
};

}  // namespace gatedpaths::detail
