// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/concat_gate.hpp>

#include "../branches/branch_list.hpp"

#include <ostream>
#include <utility>

namespace gatedpaths {

ConcatGateBase::ConcatGateBase(
    const ConcatGateOptions& gate_options,
    const std::vector<NamedBranch<>>& branches)
    : BranchedModule(
          {.gate_kind = "ConcatGate",
           .skip = gate_options.skip(),
           .closed_value = gate_options.closed_value(),
           .track_statistics = gate_options.track_statistics(),
           .output_shape = gate_options.output_shape(),
           .capacity = gate_options.sample_capacity(),
           .concat_dim = gate_options.dim(),
           .min_open = gate_options.min_open(),
           .max_open = gate_options.max_open().value_or(
               static_cast<int64_t>(branches.size()))},
          branches),
      options(gate_options) {}

torch::Tensor ConcatGateBase::forward(
    const torch::Tensor& input, const torch::Tensor& open) {
  return forward_slots(input, open).dense();
}

Slots ConcatGateBase::forward_slots(
    const torch::Tensor& input, const torch::Tensor& open) {
  return {branches(), run_branches(input, open), options.dim()};
}

void ConcatGateBase::pretty_print(std::ostream& stream) const {
  stream << "gatedpaths::ConcatGate(dim=" << options.dim() << ", ";
  print_gates(stream);
  stream << ")";
}

}  // namespace gatedpaths
