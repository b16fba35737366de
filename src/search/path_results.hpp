// SPDX-License-Identifier: MIT
// Collects what a metric gives for each path and batch. Not installed.
#pragma once

#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/space_layout.hpp>
#include <gatedpaths/search/evaluation.hpp>
#include <gatedpaths/search/path_metric.hpp>

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "result_file.hpp"

namespace gatedpaths::detail {

/// The results of the given paths, of which equal ones have one, and what is
/// still to be measured.
class PathResults {
 public:
  PathResults(
      const SpaceLayout& layout,
      c10::ArrayRef<Path> paths,
      c10::ArrayRef<EvaluationBatch> batches,
      const PathMetric& metric,
      const EvaluateOptions& options);

  /// The paths to measure, each of them different.
  const std::vector<Path>& todo() const noexcept { return todo_; }

  /// Whether a stop is requested.
  bool is_stopped() const { return options_.stop().stop_requested(); }

  /// Takes what the metric returned for a path to measure on a batch.
  void add(size_t todo, size_t batch, const at::Tensor& values);

  /// The results that there are, in the order of the given paths.
  std::vector<PathResult> take();

 private:
  struct Sum {
    std::vector<double> values;  // each batch's times its samples
    size_t batches = 0;
  };

  void read_file();
  void check_finite(
      const Path& path,
      const std::vector<double>& values,
      const std::string& where) const;
  std::vector<double> checked(
      const Path& path, size_t batch, const at::Tensor& values) const;
  void finish(size_t todo, const std::vector<double>& values);
  void tell_progress();

  const SpaceLayout& layout_;
  c10::ArrayRef<Path> paths_;
  const PathMetric& metric_;
  const EvaluateOptions& options_;
  std::vector<double> samples_;  // by batch
  std::vector<Path> todo_;
  std::vector<std::vector<size_t>> places_;  // by path to measure: among paths_
  std::vector<Sum> sums_;                    // by path to measure
  std::vector<std::optional<PathResult>> results_;  // by given path
  std::optional<ResultFile> file_;
  EvaluationProgress progress_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace gatedpaths::detail
