// SPDX-License-Identifier: MIT
#pragma once

#include "differential/tree.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace gatedpaths::differential {

/// How much was held against the reference.
struct Counts {
  int64_t trees = 0;
  int64_t gates = 0;
  int64_t forwards = 0;   ///< Each of a path of its own.
  int64_t backwards = 0;  ///< Each with a step of an optimizer.
  int64_t errors = 0;     ///< Forwards that both refused.
  int64_t tensors = 0;    ///< Tensors that were compared.
};

/// A step in which the gated network and the reference differ, and how.
struct Difference {
  uint64_t step = 0;
  std::string text;
};

/// Trains a tree for some steps as both; empty where they agree.
std::optional<Difference> run_tree(
    const Tree& tree, uint64_t steps, Counts& counts);

}  // namespace gatedpaths::differential
