// SPDX-License-Identifier: MIT
// The first stage: a supernet is trained, one path a step.
#pragma once

#include "json.hpp"
#include "net.hpp"
#include "options.hpp"
#include "search_images.hpp"

#include <gatedpaths/learning/path_estimator.hpp>
#include <gatedpaths/learning/path_logits.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/paths/sampler.hpp>
#include <gatedpaths/training/open_optimizer.hpp>

#include <torch/optim/adam.h>
#include <torch/optim/sgd.h>
#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>

namespace nas_bench_macro {

/// The net, the optimizer and what draws the paths, moved on one step at a
/// time, and saved and resumed between any two.
///
/// A step takes one batch and one path. A strictly fair round of three paths is
/// three steps: the paper's sum of their gradients would use each image for
/// three paths, and a short training has no images to spare. With an estimator,
/// a step of the weights is followed by one of the logits.
class Supernet {
 public:
  Supernet(const Options& options, SearchImages images);
  // The sampler and the space refer to members.
  Supernet(const Supernet&) = delete;
  Supernet& operator=(const Supernet&) = delete;

  /// Throws: `c10::Error` where the loss is not finite, before anything is
  /// trained on it.
  void step();

  std::int64_t steps_done() const { return step_; }
  std::int64_t total_steps() const;
  std::int64_t steps_per_epoch() const { return steps_per_epoch_; }
  bool finished() const { return step_ == total_steps(); }

  /// A moving average of the loss.
  double loss() const { return loss_; }
  /// Seconds of all steps, in whatever process they were made.
  double seconds() const { return seconds_; }

  /// Writes the file; the old one stays until the new one is whole.
  void save(const std::filesystem::path& file) const;

  /// Throws, and changes nothing, where the file is not whole or of a run with
  /// other settings.
  void resume(const std::filesystem::path& file);

  /// What two runs must have in common for one to go on where the other was.
  cifar10::Json settings() const;

  /// The likeliest path, where one was learned.
  std::optional<gatedpaths::Path> learned() const;

  Net& net() { return net_; }
  gatedpaths::PathSpace& space() { return space_; }
  const SearchImages& images() const { return images_; }

 private:
  gatedpaths::Path draw();
  cifar10::Batch next_batch(const cifar10::Images& images, std::int64_t step);
  torch::Tensor loss_of(const cifar10::Batch& batch);
  void step_weights();
  void step_architecture();
  double lr() const;

  Options options_;
  SearchImages images_;
  std::int64_t steps_per_epoch_;
  Net net_;
  gatedpaths::PathSpace space_;
  std::unique_ptr<gatedpaths::Sampler> sampler_;  // null with an estimator
  gatedpaths::PathLogits logits_{nullptr};
  std::unique_ptr<gatedpaths::PathEstimator> estimator_;
  std::unique_ptr<torch::optim::Adam> architecture_;
  torch::optim::SGD optimizer_;
  gatedpaths::OpenOptimizer open_optimizer_;
  std::int64_t step_ = 0;
  double loss_ = 0;
  double seconds_ = 0;
  std::int64_t order_epoch_ = -1;
  torch::Tensor order_;  // of that epoch
};

}  // namespace nas_bench_macro
