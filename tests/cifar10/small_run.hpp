// SPDX-License-Identifier: MIT
// A run of a few steps.
#pragma once

#include "stand_in.hpp"
#include "training_run.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace cifar10 {

/// 2 epochs of 3 steps.
inline Options small_options() {
  Options options;
  options.data.limit = 48;
  options.batch_size = 16;
  options.epochs = 2;
  return options;
}

inline std::unique_ptr<TrainingRun> start_small(
    const Options& options = small_options()) {
  return std::make_unique<TrainingRun>(
      options, stand_in_dataset(options.data.limit));
}

inline void train_steps(TrainingRun& run, std::int64_t steps) {
  for (std::int64_t i = 0; i < steps; ++i) {
    run.step();
    if (run.at_epoch_end()) {
      run.end_epoch();
    }
  }
}

/// A weight as it is in the net.
inline torch::Tensor weight(TrainingRun& run, const std::string& name) {
  return run.net()->named_parameters()[name].detach();
}

inline std::string all_weights(TrainingRun& run) {
  std::string bytes;
  for (const auto& parameter : run.net()->parameters()) {
    bytes.append(
        static_cast<const char*>(parameter.const_data_ptr()),
        parameter.nbytes());
  }
  return bytes;
}

}  // namespace cifar10
