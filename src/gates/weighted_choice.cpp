// SPDX-License-Identifier: MIT
// The forwards of a ChoiceBlock that an estimator weighs.
#include <gatedpaths/branches/detail/input_memory.hpp>
#include <gatedpaths/gates/branch_weighting.hpp>
#include <gatedpaths/gates/choice_block.hpp>

#include "../branches/branch_list.hpp"
#include "../branches/detach_alone.hpp"
#include "../branches/shared_input.hpp"
#include "../branches/sum_dtype.hpp"
#include "straight_through.hpp"

#include <ATen/ops/addcmul.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <numeric>

namespace gatedpaths {
namespace {

// `sum + weight * output`, or the latter alone; in float for reduced dtypes, as
// one operation, which keeps no product for the backward.
torch::Tensor add_weighted(
    const torch::Tensor& sum,
    const torch::Tensor& output,
    const torch::Tensor& weight) {
  const auto dtype = output.scalar_type();
  if (!detail::is_reduced(dtype)) {
    const auto part = output * weight;
    return sum.defined() ? sum + part : part;
  }
  const auto base =
      sum.defined()
          ? sum
          : at::zeros_like(
                output, output.options().dtype(detail::sum_dtype(dtype)));
  return at::addcmul(base, output, weight);
}

}  // namespace

torch::Tensor ChoiceBlockBase::forward_weighted(const torch::Tensor& input) {
  const std::shared_ptr<const BranchWeighting> weighting = weighting_;
  const int64_t active = weighting->active;
  if (active < 0) {
    return mixture(input);
  }
  const c10::IntArrayRef open = open_branches();
  TORCH_CHECK(
      open.size() == 1 && open.front() == active,
      fmt::format(
          "ChoiceBlock::forward: expected branch {} open, as the estimator "
          "applied it, got [{}]; end its step (finish_step) before another "
          "path is applied",
          active,
          fmt::join(open, ", ")));
  const auto entry = branches()->entry(input);
  begin_forward_of(active);
  torch::Tensor other;
  const bool wants_gradient = weighting->wants_gradient();
  if (wants_gradient && weighting->other >= 0) {
    // First, since the active branch may change its input in place.
    other = detail::detach_alone(branches()->run_closed(
        branches()->place(weighting->other),
        input,
        *entry,
        /*track_statistics=*/false));
  }
  const auto output = detail::apart_from(
      input, branches()->run_open(branches()->place(active), input, *entry));
  return wants_gradient
             ? detail::straight_through(weighting->weights(), output, other)
             : output;
}

torch::Tensor ChoiceBlockBase::mixture(const torch::Tensor& input) {
  const c10::IntArrayRef applied = applied_branches();
  TORCH_CHECK(
      applied == c10::IntArrayRef(weighted_path_),
      fmt::format(
          "ChoiceBlock::forward: expected [{}] open, as when the mixture of "
          "all branches was set, got [{}]; end its step (finish_step) before "
          "another path is applied",
          fmt::join(weighted_path_, ", "),
          fmt::join(applied, ", ")));
  const auto entry = branches()->entry(input);
  std::vector<int64_t> all(static_cast<size_t>(num_branches()));
  std::iota(all.begin(), all.end(), 0);
  begin_forward_of(all);
  const auto weights = weighting_->weights().to(input.device());
  detail::SharedInput shared(*branches(), input, num_branches() > 1);
  torch::Tensor sum;
  auto dtype = at::ScalarType::Undefined;
  for (const int64_t index : all) {
    const auto output = shared.run_open(branches()->place(index), *entry);
    dtype = sum.defined() ? c10::promoteTypes(dtype, output.scalar_type())
                          : output.scalar_type();
    // A weight has no dim, so that it does not decide the dtype.
    sum = add_weighted(sum, output, weights.select(0, index));
  }
  return detail::is_reduced(dtype) ? sum.to(dtype) : sum;
}

}  // namespace gatedpaths
