// SPDX-License-Identifier: MIT
// Evaluates paths by a metric of the network. Not installed.
#pragma once

#include "evaluation_inputs.hpp"
#include "path_results.hpp"

namespace gatedpaths::detail {

/// Runs the metric on each path and batch, with gradients; shares nothing.
void evaluate_by_network(const EvaluationInputs& inputs, PathResults& results);

}  // namespace gatedpaths::detail
