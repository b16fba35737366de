// SPDX-License-Identifier: MIT
// What a run of the program is told.
#pragma once

#include "data_source.hpp"

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>

namespace nas_bench_macro {

/// How large a run is: what depends on the images and on the time there is.
struct Scale {
  double width = 1;                  ///< See `NetOptions`.
  std::int64_t side = 16;            ///< Of the images: 8, 16 or 32.
  std::int64_t epochs = 20;          ///< Passes over the images to train on.
  std::int64_t held_out = 1000;      ///< Training images that only rank paths.
  std::int64_t recalibration = 512;  ///< Images for batch norm; 0: none.
};

/// On CIFAR-10, within half an hour of two cores.
inline constexpr Scale kDefaultScale{};
/// With --full, within an hour and a half of two cores.
inline constexpr Scale kFullScale{.epochs = 75};
/// Without CIFAR-10: the cycle in a minute or two; its ranking means nothing.
inline constexpr Scale kMadeImagesScale{
    .width = 0.125, .epochs = 1, .held_out = 100, .recalibration = 32};

/// The data, the stages in their order, and where they leave their files.
struct Options {
  cifar10::DataRequest data{};
  std::string net{};                ///< What the table says of it; then no run.
  std::filesystem::path ranking{};  ///< Reported on; then no run.

  Scale scale{};
  std::set<std::string> given{};  ///< Flags of the scale that were given.
  bool full = false;

  // ---- The supernet ----
  std::string sampler = "fair";  ///< See `sampler_names`.
  std::string estimator{};       ///< See `estimator_names`; empty: none learns.
  std::int64_t batch_size = 64;  ///< Images a step, of one path.
  double lr = 0.05;              ///< At the start, of a cosine to 0.
  double momentum = 0.9;         ///< Nesterov's.
  double weight_decay = 4e-5;    ///< Of SGD, as FairNAS has it.
  bool augment = false;          ///< See `augmented`.
  std::uint64_t seed = 0;        ///< Of all stages.

  // ---- The ranking ----
  std::int64_t rank = 0;  ///< Random paths to rank; 0: all.

  // ---- The search ----
  double budget = 50e6;                ///< FLOPs of the net that is looked for.
  std::string strategy = "evolution";  ///< See `strategy_names`.
  std::string score = "loss";          ///< Or `accuracy`, of the supernet.
  std::int64_t evaluations = 500;      ///< Paths that the strategy may look at.

  // ---- The run ----
  std::filesystem::path out = "nas_bench_macro_run";  ///< A folder.
  bool overwrite = false;
  std::int64_t threads = 2;
  std::string device = "cpu";
};

}  // namespace nas_bench_macro
