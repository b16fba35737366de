// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/search/stage.hpp>

#include <ATen/core/Tensor.h>
#include <torch/arg.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <vector>

namespace gatedpaths {

/// What `evaluate` found out about one path.
struct PathResult {
  size_t index = 0;                 ///< Which of the given paths it is.
  Path path{};                      ///< The path.
  std::vector<double> values = {};  ///< One for each of the metric's names.
};

/// How far `evaluate` has come.
struct EvaluationProgress {
  int64_t paths_done = 0;  ///< Paths with a result, those of the file included.
  int64_t paths_total = 0;      ///< Paths that were given.
  int64_t runs_done = 0;        ///< Runs of a path on a batch, in this call.
  int64_t runs_total = 0;       ///< Those that there will be.
  double seconds = 0;           ///< Since the call.
  double paths_per_second = 0;  ///< Runs a second, over the number of batches.
  double seconds_left = 0;      ///< What is left, at that rate.
};

/// What becomes of a metric that is inf or nan.
enum class NonFinite {
  kThrow,   ///< An error that names the path.
  kRecord,  ///< A result like others.
};

/// Options of `evaluate`.
///
/// Example:
/// ```
/// gatedpaths::EvaluateOptions()
///     .stages({net->stem, net->block1, net->block2, net->head})
///     .file("results.jsonl");
/// ```
class EvaluateOptions {
 public:
  /// The network's forward in steps, in the order in which they run; together
  /// they compute what it computes. Default: none, the whole network runs for
  /// each path.
  TORCH_ARG(std::vector<Stage>, stages);

  /// Inputs of the network, each a batch, on which batch norm's statistics are
  /// measured anew for each path before it is evaluated (see
  /// `recalibrate_batch_norm`). Default: none, the statistics stay as they are.
  TORCH_ARG(std::vector<at::Tensor>, recalibrate_on);

  /// What becomes of a metric that is inf or nan. Default: `kThrow`.
  TORCH_ARG(NonFinite, non_finite) = NonFinite::kThrow;

  /// Where there are several batches: how many paths are run on all of them
  /// before the next ones are. Their results come together; more share more.
  /// At least 1. Default: 256.
  TORCH_ARG(int64_t, paths_at_once) = 256;

  /// Whether a gate that may open several branches, and is the first thing in
  /// its stage, keeps what each branch returned for the next open set with it.
  /// Default: true. Takes the memory of all its branches' outputs.
  TORCH_ARG(bool, keep_branches) = true;

  /// Whether the stages' output is held against the network's for the first
  /// path. Default: true. Costs one forward.
  TORCH_ARG(bool, check_stages) = true;

  /// A file of results, one JSON object a line. The results that it has are
  /// not measured again, each new one is appended. Default: none.
  TORCH_ARG(std::filesystem::path, file);

  /// Called with each result, as it comes; those of the file first. It may stop
  /// the evaluation by its stop source, or by throwing.
  TORCH_ARG(std::function<void(const PathResult&)>, on_result);

  /// Called after each run of a path on a batch.
  TORCH_ARG(std::function<void(const EvaluationProgress&)>, on_progress);

  /// Ends the evaluation before the next run where a stop is requested.
  TORCH_ARG(std::stop_token, stop);
};

}  // namespace gatedpaths
