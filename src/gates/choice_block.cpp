// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/choice_block.hpp>

#include <gatedpaths/branches/detail/sample_gates.hpp>

#include "../branches/along_dim.hpp"
#include "../branches/branch_list.hpp"
#include "../branches/sum_dtype.hpp"

#include <c10/core/ScalarType.h>

#include <algorithm>
#include <ostream>
#include <utility>

namespace gatedpaths {
namespace {

at::ScalarType dtype_of_all(at::TensorList values) {
  auto dtype = values.front().scalar_type();
  for (const auto& value : values) {
    dtype = c10::promoteTypes(dtype, value.scalar_type());
  }
  return dtype;
}

// Rounded to `dtype` once, which several sums in it would be each time.
torch::Tensor sum_rounded_once(
    at::TensorList values, double divisor, at::ScalarType dtype) {
  auto sum = values.front().to(detail::sum_dtype(dtype));
  for (size_t i = 1; i < values.size(); ++i) {
    sum.add_(values[i]);
  }
  return (divisor == 1 ? sum : sum.div_(divisor)).to(dtype);
}

}  // namespace

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
  const auto& values = outputs.values;
  const bool is_mean = options.reduction() == Reduction::kMean;
  const auto count = static_cast<double>(values.size());
  if (values.size() > (is_mean ? 1 : 2)) {
    const auto dtype = dtype_of_all(values);
    if (detail::is_reduced(dtype)) {
      return sum_rounded_once(values, is_mean ? count : 1, dtype);
    }
  }
  torch::Tensor sum = values.front();
  for (size_t i = 1; i < values.size(); ++i) {
    sum = sum + values[i];
  }
  return is_mean && values.size() > 1 ? sum / count : sum;
}

torch::Tensor ChoiceBlockBase::reduce_samples(
    const detail::BranchOutputs& outputs) const {
  const auto& gates = *outputs.gates;
  auto values = outputs.values;
  const auto dtype = dtype_of_all(values);
  const bool divides =
      options.reduction() == Reduction::kMean && !gates.disjoint;
  for (auto& value : values) {
    value = value.to(divides ? detail::sum_dtype(dtype) : dtype);
  }
  auto sum = detail::put_rows(values, gates.rows, gates.batch, gates.disjoint);
  if (!divides) {
    return sum;
  }
  auto counts = gates.counts();
  for (int64_t& count : counts) {
    count = std::max<int64_t>(count, 1);  // a row of zeros stays one
  }
  const auto divisors =
      detail::to_device(counts, sum.device()).to(sum.scalar_type());
  return (sum / detail::along_dim(divisors, 0, sum.dim())).to(dtype);
}

void ChoiceBlockBase::select(int64_t index) {
  set_open(c10::IntArrayRef(index));
}

void ChoiceBlockBase::select(std::string_view name) {
  select(branch_index(name));
}

struct ChoiceBlockBase::KeptWeighting : detail::KeptState {
  explicit KeptWeighting(ChoiceBlockBase& owner)
      : gates(owner.BranchedModule::keep()),
        block(owner),
        weighting(owner.weighting_),
        weighted_path(owner.weighted_path_) {}

  ~KeptWeighting() override {
    block.weighting_ = std::move(weighting);
    block.weighted_path_ = std::move(weighted_path);
  }

  std::unique_ptr<detail::KeptState> gates;
  ChoiceBlockBase& block;
  std::shared_ptr<const BranchWeighting> weighting;
  std::vector<int64_t> weighted_path;
};

std::unique_ptr<detail::KeptState> ChoiceBlockBase::keep() {
  return std::make_unique<KeptWeighting>(*this);
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

void ChoiceBlockBase::drop_branches(c10::IntArrayRef kept) {
  BranchedModule::drop_branches(kept);
  set_weighting(nullptr);
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
