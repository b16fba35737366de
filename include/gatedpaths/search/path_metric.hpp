// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <ATen/core/Tensor.h>
#include <torch/data/example.h>
#include <torch/nn/module.h>

#include <concepts>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace gatedpaths {

/// One batch that paths are evaluated on: what the network takes, `[N, ...]`,
/// and what the metric holds its output against. It is what a LibTorch
/// `DataLoader` with a `Stack` transform gives.
using EvaluationBatch = torch::data::Example<>;

/// What a metric of the network gets: the network with the path applied, and
/// the batch.
struct PathRun {
  /// The network. What the metric changes in it, it puts back, but for buffers,
  /// modes and gates, which `evaluate` puts back.
  torch::nn::Module& net;
  /// The batch.
  const EvaluationBatch& batch;
  /// Runs the path: the stages one after the other, or the network.
  const std::function<at::Tensor(const at::Tensor&)>& forward;
};

/// What is measured of each path by `evaluate`: one number or several.
///
/// A metric of the output is a function of what the path returned for a batch
/// and of the batch's target, a mean over the batch's samples. It runs in
/// inference mode and leaves both as they are.
///
/// A metric of the network is a function of a `PathRun`: it runs the path
/// itself, as often as it likes, with gradients. `zero_cost.hpp` has some.
///
/// Either returns a number or, for several, a tensor `[names().size()]`.
///
/// Example:
/// ```
/// gatedpaths::PathMetric accuracy(
///     "accuracy", [](const torch::Tensor& output, const torch::Tensor& target)
///     {
///       return output.argmax(1).eq(target).to(torch::kDouble).mean();
///     });
/// ```
class GATEDPATHS_EXPORT PathMetric {
 public:
  /// What a metric of the output is called as.
  using OfOutput = std::function<at::Tensor(
      const at::Tensor& output, const at::Tensor& target)>;
  /// What a metric of the network is called as.
  using OfNetwork = std::function<at::Tensor(const PathRun& run)>;
  /// Puts a network into another mode, and out of it when what it returns goes.
  using Mode = std::function<std::shared_ptr<void>(torch::nn::Module& net)>;

  /// A metric with one number or several, each with its name: a function of
  /// `(const Tensor& output, const Tensor& target)`, or of
  /// `(const PathRun& run)`, that returns a tensor or a number.
  ///
  /// Throws: `c10::ValueError` for no name, an empty one, or one given twice.
  template <class Function>
  PathMetric(std::vector<std::string> names, Function function)
      : names_(std::move(names)) {
    constexpr bool is_of_output =
        std::is_invocable_v<Function&, const at::Tensor&, const at::Tensor&>;
    static_assert(
        is_of_output || std::is_invocable_v<Function&, const PathRun&>,
        "a metric must be callable as `Tensor(const Tensor& output, const "
        "Tensor& target)` or as `Tensor(const PathRun&)`; numbers may stand "
        "for tensors");
    if constexpr (is_of_output) {
      of_output_ = [function = std::move(function)](
                       const at::Tensor& output,
                       const at::Tensor& target) mutable {
        return as_tensor(function(output, target));
      };
    } else {
      of_network_ = [function =
                         std::move(function)](const PathRun& run) mutable {
        return as_tensor(function(run));
      };
    }
    check_names();
  }

  /// The same with one number.
  template <class Function>
  PathMetric(const char* name, Function function)
      : PathMetric(std::vector<std::string>{name}, std::move(function)) {}

  /// The same, called "value".
  template <class Function>
    requires(
        std::is_invocable_v<
            std::decay_t<Function>&,
            const at::Tensor&,
            const at::Tensor&> ||
        std::is_invocable_v<std::decay_t<Function>&, const PathRun&>)
  PathMetric(Function&& function)  // NOLINT(google-explicit-constructor)
      : PathMetric("value", std::forward<Function>(function)) {}

  /// For a metric of the network: what the network is put into while paths are
  /// evaluated. Default: nothing, it is in eval mode.
  PathMetric& mode(Mode mode) {
    mode_ = std::move(mode);
    return *this;
  }
  /// \overload
  const Mode& mode() const& noexcept { return mode_; }

  /// What its numbers are called.
  const std::vector<std::string>& names() const& noexcept { return names_; }

  /// The function of the output; empty for a metric of the network.
  const OfOutput& of_output() const& noexcept { return of_output_; }

  /// The function of the network; empty for a metric of the output.
  const OfNetwork& of_network() const& noexcept { return of_network_; }

 private:
  static at::Tensor as_tensor(at::Tensor value) { return value; }
  static at::Tensor as_tensor(double value);

  void check_names() const;

  std::vector<std::string> names_;
  OfOutput of_output_;
  OfNetwork of_network_;
  Mode mode_;
};

}  // namespace gatedpaths
