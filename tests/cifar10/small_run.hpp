// SPDX-License-Identifier: MIT
// A run of a few steps.
#pragma once

#include "stand_in.hpp"
#include "training_run.hpp"

#include <memory>
#include <string>

namespace cifar10 {

/// 2 epochs of 3 steps.
inline std::unique_ptr<TrainingRun> start_small() {
  Options options;
  options.data.limit = 48;
  options.batch_size = 16;
  options.epochs = 2;
  return std::make_unique<TrainingRun>(
      options, stand_in_dataset(options.data.limit));
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
