// SPDX-License-Identifier: MIT
// One training run: the net, the optimizer, the sampler and the images, moved
// on one step at a time, and saved and resumed between any two.
#pragma once

#include "command_line.hpp"
#include "dataset.hpp"
#include "evaluation.hpp"
#include "first_net.hpp"
#include "net.hpp"
#include "run_state.hpp"

#include <torch/optim/sgd.h>
#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <vector>

namespace cifar10 {

struct EpochSummary {
  std::int64_t epoch = 0;  // counted from 1
  std::int64_t steps = 0;
  double loss = 0;  // mean over the epoch
  double lr = 0;    // of the last step
  double seconds = 0;
};

class TrainingRun {
 public:
  /// Throws as `make_first_net`.
  TrainingRun(const Options& options, Dataset data);
  /// `first` is what that gave for the same options.
  TrainingRun(const Options& options, Dataset data, FirstNet first);
  // The sampler and the space refer to members.
  TrainingRun(const TrainingRun&) = delete;
  TrainingRun& operator=(const TrainingRun&) = delete;

  /// Draws a path, trains it on the next batch. Throws where the loss is not
  /// finite, before anything is trained on it.
  void step();

  /// Whether every batch of the present epoch is done, so that `end_epoch` is
  /// due.
  bool at_epoch_end() const;
  /// Throws where a weight is not finite.
  EpochSummary end_epoch();

  bool finished() const { return position_.epoch >= options_.epochs; }

  std::vector<PathAccuracy> test();

  /// Throws where a weight is not finite. The old file stays then.
  void save(const std::filesystem::path& file);
  void resume(const std::filesystem::path& file);

  /// The mean loss of the present epoch so far.
  double mean_loss() const;
  double lr() const;
  const Position& position() const { return position_; }
  std::int64_t total_steps() const {
    return options_.epochs * steps_per_epoch_;
  }
  const Dataset& data() const { return data_; }
  gatedpaths::PathSpace& space() { return space_; }
  Net& net() { return net_; }
  /// What two runs must have in common for one to go on where the other was.
  Json settings() const;

 private:
  void shuffle();
  void require_finite_weights() const;

  Options options_;
  Dataset data_;
  std::int64_t steps_per_epoch_;
  Json net_settings_;
  Net net_;
  gatedpaths::PathSpace space_;
  gatedpaths::UniformSampler sampler_;
  torch::optim::SGD optimizer_;
  gatedpaths::OpenOptimizer open_optimizer_;
  Position position_;
  torch::Tensor order_;  // of the present epoch
};

}  // namespace cifar10
