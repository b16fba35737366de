// SPDX-License-Identifier: MIT
// Options of a run that takes moments, on made images.
#pragma once

#include "nas_bench_macro/options.hpp"
#include "nas_bench_macro/search_images.hpp"

#include "stand_in.hpp"

#include <cstdint>

namespace nas_bench_macro {

inline constexpr std::int64_t kSmallImages = 60;

inline Options small_options() {
  Options options;
  options.scale = {
      .width = 0.125,
      .side = 8,
      .epochs = 3,
      .held_out = 10,
      .recalibration = 8};
  options.batch_size = 16;
  options.rank = 20;
  options.evaluations = 20;
  options.threads = 1;
  return options;
}

inline SearchImages small_images(const Options& options) {
  return split(cifar10::stand_in_dataset(kSmallImages), options);
}

}  // namespace nas_bench_macro
