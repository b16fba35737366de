// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/slots/slot_batch_norm.hpp>
#include <gatedpaths/slots/slot_conv.hpp>
#include <gatedpaths/slots/slot_linear.hpp>

#include "differential/leaf.hpp"
#include "differential/tree.hpp"

#include <torch/types.h>

#include <cstdint>
#include <map>
#include <vector>

namespace gatedpaths::differential {

/// What a node owns that is trained. The gated network runs it as it is; the
/// reference takes the tensors of slot layers out of it.
struct Parts {
  Leaf leaf = nullptr;
  SlotLinear linear = nullptr;
  SlotConv2d conv = nullptr;
  SlotBatchNorm2d norm = nullptr;

  std::vector<torch::Tensor> parameters() const;
  std::vector<torch::Tensor> buffers() const;
};

/// By the node's number.
using AllParts = std::map<int64_t, Parts>;

/// What the nodes of a tree own, with fresh values.
AllParts make_parts(const Tree& tree);

/// All parameters or buffers, in the order of the nodes.
std::vector<torch::Tensor> parameters_of(const AllParts& parts);
std::vector<torch::Tensor> buffers_of(const AllParts& parts);

/// Gives the tensors of `to` the values of `from`.
void copy_values(
    const std::vector<torch::Tensor>& from,
    const std::vector<torch::Tensor>& to);

}  // namespace gatedpaths::differential
