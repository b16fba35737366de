// SPDX-License-Identifier: MIT
#include <gatedpaths/modules/choice_block.hpp>

#include "../detail/branch_list.hpp"

#include <ostream>
#include <utility>

namespace gatedpaths {

ChoiceBlockBase::ChoiceBlockBase(
    const ChoiceBlockOptions& block_options,
    std::vector<NamedBranch<>> branches)
    : BranchedModule(
          {.gate_kind = "ChoiceBlock",
           .skip = block_options.skip(),
           .closed_value = block_options.closed_value(),
           .track_statistics = block_options.track_statistics(),
           .output_shape = block_options.output_shape(),
           .concat_dim = std::nullopt,
           .min_open = block_options.min_open(),
           .max_open = block_options.max_open()},
          std::move(branches)),
      options(block_options) {}

torch::Tensor ChoiceBlockBase::forward(const torch::Tensor& input) {
  if (weighting_ != nullptr && is_training()) {
    return forward_weighted(input);
  }
  const auto outputs = run_branches(input);
  if (outputs.values.empty()) {
    const auto index = branches()->best_known(*outputs.entry, outputs.batch);
    const auto& spec =
        branches()->closed(index, *outputs.entry, outputs.batch, -1);
    return spec.tensors.front().zeros(outputs.batch);
  }
  torch::Tensor sum = outputs.values.front();
  for (size_t i = 1; i < outputs.values.size(); ++i) {
    sum = sum + outputs.values[i];
  }
  if (options.reduction() == Reduction::kMean && outputs.values.size() > 1) {
    return sum / static_cast<double>(outputs.values.size());
  }
  return sum;
}

void ChoiceBlockBase::select(int64_t index) {
  set_open(c10::IntArrayRef(index));
}

void ChoiceBlockBase::select(std::string_view name) {
  select(branch_index(name));
}

void ChoiceBlockBase::pretty_print(std::ostream& stream) const {
  stream << "gatedpaths::ChoiceBlock(reduction="
         << (options.reduction() == Reduction::kSum ? "kSum" : "kMean") << ", ";
  print_gates(stream);
  stream << ")";
}

}  // namespace gatedpaths
