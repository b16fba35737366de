// SPDX-License-Identifier: MIT
// Runs a network on a path, and sees which part costs what. Not installed.
#pragma once

#include <gatedpaths/branches/network_ref.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/search/cost_model.hpp>
#include <gatedpaths/search/cost_options.hpp>
#include <gatedpaths/slots/slot_consumer.hpp>

#include <torch/nn/module.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace gatedpaths::detail {

/// What lies in no branch.
inline constexpr GatePlace kOutsideOfGates{-1, 0};

/// The integer costs, in the order of `CostKind`.
using Tally = std::array<int64_t, 5>;

/// What each part of a path had of its own, and what is of no single part.
using PartTallies = std::map<GatePlace, Tally>;

/// The seconds of each part.
using PartTimes = std::map<GatePlace, double>;

class PathMeter {
 public:
  /// Throws, in the name of `CostModel::measure`, where the network is not that
  /// of the space.
  PathMeter(
      NetworkRef net, PathSpace space, NetworkRun run, CostOptions options);

  const PathSpace& space() const noexcept { return space_; }
  const CostOptions& options() const noexcept { return options_; }

  /// Leaves no trace while it lives.
  class Session;

  /// Runs the path once, or twice where activations are asked for.
  PartTallies run(const Session& session, const Path& path);

  /// Measures the time of the parts once.
  PartTimes time(const Session& session, const Path& path);

  /// Whether a branch was seen to run.
  bool was_entered(const GatePlace& place) const {
    return entered_.contains(place);
  }

  const std::map<std::string, int64_t>& unknown() const { return unknown_; }
  at::Device device() const { return device_; }

 private:
  friend class PlaceWatch;

  struct Held {
    int64_t count;
    int64_t bytes;
    std::set<GatePlace> places;
  };
  struct SlotHeld {
    SlotConsumer* layer;
    std::vector<std::pair<int64_t, int64_t>> slots;  // count, bytes
  };

  void find_parts();
  void find_parameters(const torch::nn::Module& module, const GatePlace& place);
  void count_parameters(PartTallies& tallies) const;
  void count_operations(PartTallies& tallies);
  void count_activations(PartTallies& tallies);
  void train_but_drawing_gates();
  std::vector<at::Tensor> forward() const;

  NetworkRef net_;
  torch::nn::Module& module_;
  PathSpace space_;
  NetworkRun run_;
  CostOptions options_;
  at::Device device_ = at::kCPU;
  const Path* path_ = nullptr;  // the one that runs
  std::unordered_map<const torch::nn::Module*, std::vector<GatePlace>>
      places_of_;
  std::unordered_map<const void*, Held> parameters_;  // by tensor
  std::vector<SlotHeld> slot_layers_;
  // Their slots' tensors, which children of theirs may hold.
  std::unordered_set<const void*> of_slots_;
  std::set<GatePlace> entered_;
  std::map<std::string, int64_t> unknown_;
};

/// While it lives, runs leave nothing behind. `times`: without what that costs
/// in each operator.
class PathMeter::Session {
 public:
  explicit Session(PathMeter& meter, bool times = false);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

 private:
  struct Kept;
  std::unique_ptr<Kept> kept_;
};

}  // namespace gatedpaths::detail
