// SPDX-License-Identifier: MIT
// What a path leaves of a network. Not installed.
#pragma once

#include <gatedpaths/gates/gated_module.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/slots/slot_consumer.hpp>

#include <c10/util/FunctionRef.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <string_view>
#include <vector>

namespace gatedpaths::detail {

/// Which branches and slots of a network stay on a path.
class Narrowing {
 public:
  /// Finds them out; the network is not changed.
  ///
  /// Throws: `c10::ValueError`, in the name of `function`, for a path of
  /// another space, a space of another network, and layers on slots of unknown
  /// gates.
  static Narrowing of(
      std::string_view function,
      torch::nn::Module& net,
      const PathSpace& space,
      const Path& path);

  /// Speaks of the modules of a copy from now on.
  void move_to(
      c10::function_ref<torch::nn::Module*(const torch::nn::Module&)> copy_of);

  /// Drops all else from the network `root`, and takes its memory.
  void run(torch::nn::Module& root) const;

 private:
  template <class Part>
  struct Step {
    torch::nn::Module* module;
    Part* part;  // the same object
    std::vector<int64_t> kept;
  };

  std::vector<Step<GatedModule>> gates_;
  std::vector<Step<SlotConsumer>> layers_;
};

}  // namespace gatedpaths::detail
