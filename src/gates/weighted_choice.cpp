// SPDX-License-Identifier: MIT
// The forwards of a ChoiceBlock that an estimator weighs.
#include <gatedpaths/gates/branch_weighting.hpp>
#include <gatedpaths/gates/choice_block.hpp>

#include "../branches/branch_list.hpp"
#include "../branches/detach_alone.hpp"
#include "straight_through.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <numeric>

namespace gatedpaths {

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
        weighting->other, input, *entry, /*track_statistics=*/false));
  }
  const auto output = branches()->run_open(active, input, *entry);
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
  torch::Tensor sum;
  for (const int64_t index : all) {
    // A weight has no dim, so that it does not decide the dtype.
    const auto part =
        branches()->run_open(index, input, *entry) * weights.select(0, index);
    sum = sum.defined() ? sum + part : part;
  }
  return sum;
}

}  // namespace gatedpaths
