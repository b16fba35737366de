// SPDX-License-Identifier: MIT
#pragma once

#include "differential/gated_net.hpp"
#include "differential/reference.hpp"
#include "differential/step.hpp"
#include "differential/tree.hpp"

#include <torch/types.h>

#include <string>
#include <vector>

namespace gatedpaths::differential {

/// What a forward gave, or why it did not.
struct Outcome {
  torch::Tensor leaf;  ///< What a backward may reach of the input.
  torch::Tensor output;
  torch::Tensor stream;  ///< LibTorch's random stream afterwards.
  std::string error;     ///< Empty where there was none.
  /// Whether what works in place on the output changes the input.
  bool is_entangled = false;
};

/// Runs the network on the input of the step's pass of this number.
Outcome forward_pass(
    const Tree& tree, const Step& step, uint64_t pass, GatedNet& net);
/// \overload
Outcome forward_pass(
    const Tree& tree, const Step& step, uint64_t pass, Reference& net);

/// One backward through what several forwards gave, as the step says. Returns
/// why it could not be done, or nothing.
std::string backward_pass(
    const Step& step, const std::vector<Outcome>& outcomes);

}  // namespace gatedpaths::differential
