// SPDX-License-Identifier: MIT
#include <gatedpaths/depth/stochastic_depth.hpp>

#include <gatedpaths/branches/detail/input_memory.hpp>
#include <gatedpaths/branches/detail/sample_gates.hpp>

#include "../branches/branch_list.hpp"
#include "../branches/sum_dtype.hpp"
#include "../gates/next_draw.hpp"
#include "../random/draw_open_set.hpp"
#include "../random/fresh_seed.hpp"
#include "drop_convention.hpp"
#include "drop_rate.hpp"

#include <ATen/ops/add.h>
#include <ATen/ops/result_type.h>
#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ostream>
#include <utility>
#include <vector>

namespace gatedpaths {
namespace {

constexpr int64_t kDepthBranch = 0;
constexpr const char* kDepthBranchName = "branch";
constexpr const char* kConventionName = "drop";

// What one draw keeps: `count` of `units`, which are the rows, or under
// DropMode::kBatch the batch as a whole.
struct Kept {
  int64_t units = 1;
  int64_t count = 1;
  double chance_of_any = 1;   // that count > 0
  std::vector<int64_t> rows;  // where 0 < count < units
};

Kept keep_all_or_none(detail::CounterRandom& random, double keep) {
  return {
      .units = 1,
      .count = random.uniform() < keep ? 1 : 0,
      .chance_of_any = keep,
      .rows = {}};
}

Kept keep_each_row(detail::CounterRandom& random, double keep, int64_t batch) {
  Kept kept{.units = batch, .count = 0, .chance_of_any = 1, .rows = {}};
  for (int64_t row = 0; row < batch; ++row) {
    if (random.uniform() < keep) {
      kept.rows.push_back(row);
    }
  }
  kept.count = static_cast<int64_t>(kept.rows.size());
  // 1 - (1 - keep)^batch, without the cancellation of a small keep.
  kept.chance_of_any =
      -std::expm1(static_cast<double>(batch) * std::log1p(-keep));
  return kept;
}

Kept keep_subset(detail::CounterRandom& random, double keep, int64_t batch) {
  const double expected = keep * static_cast<double>(batch);
  const double whole = std::floor(expected);
  Kept kept{
      .units = batch,
      .count = static_cast<int64_t>(whole),
      .chance_of_any = std::min(expected, 1.0),
      .rows = {}};
  if (random.uniform() < expected - whole) {
    ++kept.count;
  }
  detail::draw_open_set(random, batch, kept.count, kept.count, kept.rows);
  return kept;
}

Kept draw_kept(GatedModule& gate, DropMode mode, double keep, int64_t units) {
  Kept kept{.units = units, .count = units, .chance_of_any = 1, .rows = {}};
  if (keep == 1) {
    return kept;
  }
  if (keep == 0 || units == 0) {
    kept.count = 0;
    return kept;
  }
  DrawState state = *gate.draw_state();
  auto random = detail::next_draw(state, gate.gate_kind());
  gate.set_draw_state(state);
  switch (mode) {
    case DropMode::kRow:
      kept = keep_each_row(random, keep, units);
      break;
    case DropMode::kBatch:
      kept = keep_all_or_none(random, keep);
      break;
    case DropMode::kSubset:
      kept = keep_subset(random, keep, units);
      break;
  }
  return kept;
}

double train_factor(DropScale scale, double keep, const Kept& kept) {
  switch (scale) {
    case DropScale::kTrainInverse:
      return 1 / keep;
    case DropScale::kTrainRealised:
      return static_cast<double>(kept.units) /
             (static_cast<double>(kept.count) * kept.chance_of_any);
    case DropScale::kNone:
    case DropScale::kEval:
      break;
  }
  return 1;
}

at::Tensor rows_of(const at::Tensor& input, const at::Tensor& index) {
  return detail::take_rows(input, {index}, /*disjoint=*/true).front();
}

// `base + factor * rows`, at the rows of `index` where that is defined.
at::Tensor add_rows(
    const at::Tensor& base,
    const at::Tensor& index,
    const at::Tensor& rows,
    double factor) {
  if (!index.defined() && factor == 1) {
    return at::add(base, rows);
  }
  // As a sum promotes, which index_add does not: under autocast, say.
  const auto dtype = at::result_type(base, rows);
  // Both sums would round the factor or the product to a reduced dtype.
  const auto wide = factor == 1 ? dtype : detail::sum_dtype(dtype);
  if (!index.defined()) {
    return at::add(base.to(wide), rows, factor).to(dtype);
  }
  // In place of a copy, since index_add gives up the memory format.
  auto sum = base.to(wide, /*non_blocking=*/false, /*copy=*/true);
  return sum.index_add_(0, index, rows.to(wide), factor).to(dtype);
}

}  // namespace

StochasticDepthBase::StochasticDepthBase(
    const StochasticDepthOptions& depth_options, AnyBranch branch)
    : BranchedModule(
          {.gate_kind = "StochasticDepth",
           .skip = Skip::kZeroFill,
           .closed_value = ClosedValue::kZeros,
           .track_statistics = false,
           .output_shape = depth_options.output_shape(),
           .capacity = {},
           .concat_dim = std::nullopt,
           .min_open = 1,
           .max_open = 1},
          {NamedBranch<>(kDepthBranchName, std::move(branch))}),
      options(depth_options) {
  detail::check_drop_rate("StochasticDepth", options.drop_rate());
  convention_ = register_module(
      kConventionName,
      std::make_shared<detail::DropConvention>(detail::DropSettings{
          options.mode(), options.scale(), options.drop_rate()}));
  draw_each_forward(options.seed() ? *options.seed() : detail::fresh_seed());
}

torch::Tensor StochasticDepthBase::forward(const torch::Tensor& input) {
  const auto entry = branches()->entry(input);
  const auto& drop = convention_->get();
  const double keep = 1 - drop.drop_rate;
  const bool by_row = drop.mode != DropMode::kBatch;
  TORCH_CHECK_VALUE(
      !by_row || input.dim() > 0,
      "StochasticDepth::forward: expected an input with a batch dim for mode=",
      drop.mode,
      ", got one of ",
      input.sizes());
  Kept kept;
  double factor = drop.scale == DropScale::kEval ? keep : 1;
  bool runs = factor > 0;  // times 0 would turn inf and NaN into NaN
  if (is_training() && draw_state()) {
    kept = draw_kept(*this, drop.mode, keep, by_row ? input.size(0) : 1);
    runs = kept.count > 0;
    factor = runs ? train_factor(drop.scale, keep, kept) : 0;
  }
  if (!runs) {
    begin_forward_of({});
    return options.residual() ? input.clone() : zeros(input, *entry);
  }
  begin_forward_of(kDepthBranch);
  torch::Tensor index;  // undefined for all rows
  if (kept.count < kept.units) {
    index = detail::to_device(kept.rows, input.device());
  }
  const bool runs_subset = index.defined() && drop.mode == DropMode::kSubset;
  const auto rows = runs_subset ? rows_of(input, index) : input;
  auto output = branches()->run_kept(kDepthBranch, rows, *entry);
  check_output(rows, output, by_row);
  if (!options.residual() && !index.defined()) {
    return factor == 1 ? detail::apart_from(input, output) : output * factor;
  }
  if (index.defined() && !runs_subset) {
    output = rows_of(output, index);
  }
  const auto base = options.residual() ? input : zeros(input, *entry);
  return add_rows(base, index, output, factor);
}

double StochasticDepthBase::drop_rate() const {
  return convention_->get().drop_rate;
}

DropMode StochasticDepthBase::mode() const { return convention_->get().mode; }

DropScale StochasticDepthBase::scale() const {
  return convention_->get().scale;
}

void StochasticDepthBase::set_drop_rate(double value) {
  detail::check_drop_rate("StochasticDepth::set_drop_rate", value);
  auto settings = convention_->get();
  settings.drop_rate = value;
  convention_->set(settings);
}

void StochasticDepthBase::pretty_print(std::ostream& stream) const {
  const auto& drop = convention_->get();
  stream << "gatedpaths::StochasticDepth(drop_rate=" << drop.drop_rate
         << ", mode=" << drop.mode << ", scale=" << drop.scale
         << ", residual=" << (options.residual() ? "true" : "false") << ")";
}

void StochasticDepthBase::copy_parts(
    const std::optional<torch::Device>& device) {
  BranchedModule::copy_parts(device);
  convention_ = replace_module(
      kConventionName,
      std::make_shared<detail::DropConvention>(convention_->get()));
}

torch::Tensor StochasticDepthBase::zeros(
    const torch::Tensor& input, detail::OutputEntry& entry) const {
  const int64_t batch = input.dim() == 0 ? -1 : input.size(0);
  const auto& spec =
      branches()->closed(kDepthBranch, entry, batch, /*open_sibling=*/-1);
  return spec.tensors.front().zeros(batch);
}

void StochasticDepthBase::check_output(
    const torch::Tensor& input,
    const torch::Tensor& output,
    bool by_row) const {
  TORCH_CHECK_VALUE(
      !options.residual() || output.sizes() == input.sizes(),
      "StochasticDepth::forward: expected ",
      branches()->label(kDepthBranch).text(),
      " to return its input's shape ",
      input.sizes(),
      ", got ",
      output.sizes(),
      "; only residual(false) takes another one");
  TORCH_CHECK_VALUE(
      !by_row || (output.dim() > 0 && output.size(0) == input.size(0)),
      "StochasticDepth::forward: expected ",
      branches()->label(kDepthBranch).text(),
      " to return its input's ",
      input.size(0),
      " rows, got an output of ",
      output.sizes());
}

}  // namespace gatedpaths
