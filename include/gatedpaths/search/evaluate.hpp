// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/child.hpp>
#include <gatedpaths/branches/network_ref.hpp>
#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/search/evaluation.hpp>
#include <gatedpaths/search/path_metric.hpp>
#include <gatedpaths/search/stage.hpp>

#include <c10/util/ArrayRef.h>
#include <torch/nn/module.h>

#include <optional>
#include <type_traits>
#include <vector>

namespace gatedpaths {
namespace detail {

/// `whole` is the network's forward, where it has one of a tensor.
GATEDPATHS_EXPORT std::vector<PathResult> evaluate_paths(
    torch::nn::Module& net,
    const std::optional<Stage>& whole,
    const PathSpace& space,
    c10::ArrayRef<Path> paths,
    c10::ArrayRef<EvaluationBatch> batches,
    const PathMetric& metric,
    const EvaluateOptions& options);

}  // namespace detail

/// Measures each of `paths` on `batches`, and returns the results in the order
/// of the paths.
///
/// A result is the mean over the batches, each weighted by its number of
/// samples (`data.size(0)`), summed in double: for a metric that is a mean over
/// a batch's samples, the mean over all samples.
///
/// The network is in eval mode and inference mode meanwhile, whatever mode it
/// was in; nothing is drawn. Afterwards modes, gates, buffers and gradients are
/// as they were, also where something throws.
///
/// With `stages`, paths are walked in an order in which those stand side by
/// side that have the first stages in common, and a stage runs again only where
/// a gate in it or before it is set otherwise than for the path before. The
/// results are bit for bit those of whole forwards, in a part of the time: a
/// fifth to a quarter for all 729 paths of six blocks of three. Memory: what
/// each stage returned for one batch. Which stage a gate belongs to is known
/// from the modules among the stages, else found out by running the first path;
/// a gate inside a branch belongs to the stage of the gate around it, one that
/// did not run to the first stage.
///
/// Of gates that may open several branches and get the very input of their
/// stage, each branch runs once for each input, however many sets it is in,
/// unless it has gates in it or `keep_branches` is false. Memory: what each of
/// these branches returned.
///
/// With `recalibrate_on`, each path is evaluated with batch norm's statistics
/// as `recalibrate_batch_norm` measures them on these inputs for that path. A
/// stage's are measured again only where the stage runs again. Memory: what
/// each stage returned for all batches and all of these inputs. The network's
/// own statistics come back afterwards.
///
/// A metric of the network runs whole forwards for each path, with gradients,
/// and shares nothing. The parameters' `grad` is not touched.
///
/// A path that is given twice is measured once. With `file`, what is in the
/// file already is not measured again: its first line names the space's hash,
/// the metric, and the number of batches and samples, each other one a path and
/// its values. Other weights or other data of the same size are not noticed. A
/// last line that was cut short, as by a crash, is dropped with a warning.
///
/// Where a stop is requested, returns the results that are there.
///
/// Throws: `c10::ValueError`
/// - for a network without a `forward` of one tensor where there are no stages,
///   an empty holder, a space that is not the network's, a path of another
///   space, no path, no batch, a batch without samples;
/// - for a stage that works in place on its input, or returns no tensor, or a
///   module in it that is in training (one outside of `net`, or one that a
///   forward puts into training mode), stages that compute something else than
///   the network, a gate that runs in an earlier stage than the one that it was
///   assigned to;
/// - for a gate that does not run what the path says: one that draws in eval
///   mode, or gets gates for each sample;
/// - for batch norm that runs in two stages while its statistics are measured;
/// - for a metric that returns another number of values than it has names, that
///   works in place on the output, or is not finite under `NonFinite::kThrow`;
/// - for a file of another space, metric or number of batches and samples, or
///   with a line that is no result; `c10::Error` where it cannot be read or
///   written.
/// Also what the network, the metric and the callbacks throw.
///
/// Example:
/// ```
/// auto results = gatedpaths::evaluate(
///     net, space, paths, batches,
///     [](const torch::Tensor& output, const torch::Tensor& target) {
///       return output.argmax(1).eq(target).to(torch::kDouble).mean();
///     },
///     gatedpaths::EvaluateOptions().stages({net->stem, net->block,
///     net->head}));
/// auto best = std::ranges::max_element(
///     results, {}, [](const auto& result) { return result.values[0]; });
/// ```
template <class Net>
  requires detail::is_module_like<Net>
std::vector<PathResult> evaluate(
    Net&& net,
    const PathSpace& space,
    c10::ArrayRef<Path> paths,
    c10::ArrayRef<EvaluationBatch> batches,
    const PathMetric& metric,
    const EvaluateOptions& options = {});

// ---- implementation ----

template <class Net>
  requires detail::is_module_like<Net>
std::vector<PathResult> evaluate(
    Net&& net,
    const PathSpace& space,
    c10::ArrayRef<Path> paths,
    c10::ArrayRef<EvaluationBatch> batches,
    const PathMetric& metric,
    const EvaluateOptions& options) {
  torch::nn::Module& module = NetworkRef(net).module("evaluate");
  std::optional<Stage> whole;
  if constexpr (detail::UnaryTensorModule<detail::ChildImpl<Net>>) {
    if constexpr (detail::NetworkHandle<Net>) {
      whole = Stage(*net);
    } else {
      whole = Stage(net);
    }
  }
  return detail::evaluate_paths(
      module, whole, space, paths, batches, metric, options);
}

}  // namespace gatedpaths
