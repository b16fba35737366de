// SPDX-License-Identifier: MIT
#include "path_results.hpp"

#include "../text/tensor_text.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <cmath>
#include <unordered_map>
#include <utility>

namespace gatedpaths::detail {
namespace {

double samples_of(const EvaluationBatch& batch, size_t index) {
  TORCH_CHECK_VALUE(
      batch.data.defined() && batch.data.dim() > 0 && batch.data.size(0) > 0,
      fmt::format(
          "evaluate: expected batches of at least one sample, got data of {} "
          "in batch {}",
          tensor_text(batch.data),
          index));
  return static_cast<double>(batch.data.size(0));
}

}  // namespace

PathResults::PathResults(
    const SpaceLayout& layout,
    c10::ArrayRef<Path> paths,
    c10::ArrayRef<EvaluationBatch> batches,
    const PathMetric& metric,
    const EvaluateOptions& options)
    : layout_(layout),
      paths_(paths),
      metric_(metric),
      options_(options),
      results_(paths.size()),
      start_(std::chrono::steady_clock::now()) {
  TORCH_CHECK_VALUE(
      !paths.empty(), "evaluate: expected at least one path, got none");
  TORCH_CHECK_VALUE(
      !batches.empty(), "evaluate: expected at least one batch, got none");
  for (size_t i = 0; i < batches.size(); ++i) {
    samples_.push_back(samples_of(batches[i], i));
  }
  std::unordered_map<Path, size_t> number_of;
  for (size_t i = 0; i < paths.size(); ++i) {
    TORCH_CHECK_VALUE(
        paths[i].space_hash() == layout.hash(),
        fmt::format(
            "evaluate: expected paths of the space {:#018x}, got one of "
            "{:#018x} "
            "as path {}",
            layout.hash(),
            paths[i].space_hash(),
            i));
    const auto [known, is_new] = number_of.try_emplace(paths[i], todo_.size());
    if (is_new) {
      todo_.push_back(paths[i]);
      places_.emplace_back();
    }
    places_[known->second].push_back(i);
  }
  progress_.paths_total = static_cast<int64_t>(paths.size());
  if (!options.file().empty()) {
    read_file();
  }
  sums_.resize(todo_.size());
  progress_.runs_total = static_cast<int64_t>(todo_.size() * batches.size());
}

void PathResults::read_file() {
  double samples = 0;
  for (const double of_batch : samples_) {
    samples += of_batch;
  }
  file_.emplace(
      options_.file(),
      layout_,
      ResultFileHead{
          metric_.names(),
          static_cast<int64_t>(samples_.size()),
          static_cast<int64_t>(samples)});
  std::vector<const std::vector<double>*> known;
  known.reserve(todo_.size());
  for (const Path& path : todo_) {
    known.push_back(file_->find(path));
    if (known.back() != nullptr) {
      check_finite(path, *known.back(), "in " + options_.file().string());
    }
  }
  size_t left = 0;
  for (size_t i = 0; i < known.size(); ++i) {
    if (known[i] != nullptr) {
      finish(i, *known[i]);
    } else if (left++ < i) {
      todo_[left - 1] = std::move(todo_[i]);
      places_[left - 1] = std::move(places_[i]);
    }
  }
  todo_.resize(left);
  places_.resize(left);
}

void PathResults::check_finite(
    const Path& path,
    const std::vector<double>& values,
    const std::string& where) const {
  for (size_t i = 0; i < values.size(); ++i) {
    TORCH_CHECK_VALUE(
        std::isfinite(values[i]) || options_.non_finite() == NonFinite::kRecord,
        fmt::format(
            "evaluate: expected a finite '{}', got {} for the path '{}' {}; "
            "NonFinite::kRecord takes it as it is",
            metric_.names()[i],
            values[i],
            layout_.to_string(path),
            where));
  }
}

void PathResults::add(size_t todo, size_t batch, const at::Tensor& values) {
  const auto numbers = checked(todo_[todo], batch, values);
  Sum& sum = sums_[todo];
  sum.values.resize(numbers.size());
  for (size_t i = 0; i < numbers.size(); ++i) {
    sum.values[i] += numbers[i] * samples_[batch];
  }
  ++progress_.runs_done;
  if (++sum.batches == samples_.size()) {
    double samples = 0;
    for (const double of_batch : samples_) {
      samples += of_batch;
    }
    for (double& value : sum.values) {
      value /= samples;
    }
    if (file_) {
      file_->add(todo_[todo], sum.values);
    }
    finish(todo, sum.values);
  }
  tell_progress();
}

std::vector<double> PathResults::checked(
    const Path& path, size_t batch, const at::Tensor& values) const {
  const auto& names = metric_.names();
  TORCH_CHECK_VALUE(
      values.defined() && values.numel() == static_cast<int64_t>(names.size()),
      fmt::format(
          "evaluate: expected a metric of {} values, got {} for the path '{}'",
          names.size(),
          tensor_text(values),
          layout_.to_string(path)));
  const auto on_host = values.detach().to(at::kCPU, at::kDouble).contiguous();
  const auto* first = on_host.const_data_ptr<double>();
  std::vector<double> numbers(first, first + names.size());
  check_finite(path, numbers, fmt::format("on batch {}", batch));
  return numbers;
}

void PathResults::finish(size_t todo, const std::vector<double>& values) {
  for (const size_t place : places_[todo]) {
    const auto& result =
        results_[place].emplace(PathResult{place, paths_[place], values});
    ++progress_.paths_done;
    if (options_.on_result()) {
      options_.on_result()(result);
    }
  }
}

void PathResults::tell_progress() {
  if (!options_.on_progress()) {
    return;
  }
  const std::chrono::duration<double> since =
      std::chrono::steady_clock::now() - start_;
  progress_.seconds = since.count();
  if (progress_.seconds > 0) {
    const auto runs = static_cast<double>(progress_.runs_done);
    const auto left =
        static_cast<double>(progress_.runs_total - progress_.runs_done);
    progress_.paths_per_second =
        runs / static_cast<double>(samples_.size()) / progress_.seconds;
    progress_.seconds_left = left * progress_.seconds / runs;
  }
  options_.on_progress()(progress_);
}

std::vector<PathResult> PathResults::take() {
  std::vector<PathResult> found;
  for (auto& result : results_) {
    if (result) {
      found.push_back(*std::move(result));
    }
  }
  return found;
}

}  // namespace gatedpaths::detail
