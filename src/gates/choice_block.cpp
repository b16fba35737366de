// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/choice_block.hpp>

#include <gatedpaths/branches/detail/sample_gates.hpp>

#include "../branches/along_dim.hpp"
#include "../branches/branch_list.hpp"

#include <c10/core/ScalarType.h>

#include <algorithm>
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
           .capacity = block_options.sample_capacity(),
           .concat_dim = std::nullopt,
           .min_open = block_options.min_open(),
           .max_open = block_options.max_open()},
          std::move(branches)),
      options(block_options) {}

torch::Tensor ChoiceBlockBase::forward(
    const torch::Tensor& input, const torch::Tensor& open) {
  if (weighting_ != nullptr && is_training()) {
    TORCH_CHECK(
        !open.defined(),
        "ChoiceBlock::forward: expected no gates for each sample while an "
        "estimator weighs the branches, got gates of ",
        open.sizes(),
        "; end its step first (finish_step)");
    return forward_weighted(input);
  }
  const auto outputs = run_branches(input, open);
  if (outputs.values.empty()) {
    const auto index = branches()->best_known(*outputs.entry, outputs.batch);
    const auto& spec =
        branches()->closed(index, *outputs.entry, outputs.batch, -1);
    return spec.tensors.front().zeros(outputs.batch);
  }
  return outputs.gates && outputs.gates->is_partial() ? reduce_samples(outputs)
                                                      : reduce(outputs);
}

torch::Tensor ChoiceBlockBase::reduce(
    const detail::BranchOutputs& outputs) const {
  torch::Tensor sum = outputs.values.front();
  for (size_t i = 1; i < outputs.values.size(); ++i) {
    sum = sum + outputs.values[i];
  }
  if (options.reduction() == Reduction::kMean && outputs.values.size() > 1) {
    return sum / static_cast<double>(outputs.values.size());
  }
  return sum;
}

torch::Tensor ChoiceBlockBase::reduce_samples(
    const detail::BranchOutputs& outputs) const {
  const auto& gates = *outputs.gates;
  auto values = outputs.values;
  auto dtype = values.front().scalar_type();
  for (const auto& value : values) {
    dtype = c10::promoteTypes(dtype, value.scalar_type());
  }
  for (auto& value : values) {
    value = value.to(dtype);
  }
  auto sum = detail::put_rows(values, gates.rows, gates.batch, gates.disjoint);
  if (options.reduction() == Reduction::kSum || gates.disjoint) {
    return sum;
  }
  auto counts = gates.counts();
  for (int64_t& count : counts) {
    count = std::max<int64_t>(count, 1);  // a row of zeros stays one
  }
  const auto divisors = detail::to_device(counts, sum.device()).to(dtype);
  return sum / detail::along_dim(divisors, 0, sum.dim());
}

void ChoiceBlockBase::select(int64_t index) {
  set_open(c10::IntArrayRef(index));
}

void ChoiceBlockBase::select(std::string_view name) {
  select(branch_index(name));
}

void ChoiceBlockBase::set_weighting(
    std::shared_ptr<const BranchWeighting> weighting) {
  weighted_path_.clear();
  if (weighting != nullptr) {
    const auto applied = applied_branches();
    weighted_path_.assign(applied.begin(), applied.end());
  }
  weighting_ = std::move(weighting);
}

void ChoiceBlockBase::copy_parts(const std::optional<torch::Device>& device) {
  BranchedModule::copy_parts(device);
  set_weighting(nullptr);
}

void ChoiceBlockBase::pretty_print(std::ostream& stream) const {
  stream << "gatedpaths::ChoiceBlock(reduction="
         << (options.reduction() == Reduction::kSum ? "kSum" : "kMean") << ", ";
  print_gates(stream);
  stream << ")";
}

}  // namespace gatedpaths
