// SPDX-License-Identifier: MIT
#include <gatedpaths/depth/layer_drop.hpp>

#include <gatedpaths/branches/detail/branch_watch.hpp>
#include <gatedpaths/branches/detail/input_memory.hpp>
#include <gatedpaths/branches/detail/input_watch.hpp>

#include "../branches/branch_list.hpp"
#include "../gates/next_draw.hpp"
#include "../random/draw_conditional_set.hpp"
#include "../random/draw_open_set.hpp"
#include "../random/fresh_seed.hpp"
#include "drop_rate.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <numeric>
#include <ostream>
#include <utility>

namespace gatedpaths {
namespace {

int64_t checked_min_layers(int64_t min_layers, size_t layers) {
  TORCH_CHECK_VALUE(
      0 <= min_layers && min_layers <= static_cast<int64_t>(layers),
      "LayerDrop: expected min_layers in [0, ",
      layers,
      "], got ",
      min_layers);
  return min_layers;
}

}  // namespace

LayerDropBase::LayerDropBase(
    const LayerDropOptions& drop_options,
    const std::vector<NamedBranch<>>& layers)
    : BranchedModule(
          {.gate_kind = "LayerDrop",
           .skip = Skip::kZeroFill,
           .closed_value = ClosedValue::kZeros,
           .track_statistics = false,
           .output_shape = {},
           .capacity = {},
           .concat_dim = std::nullopt,
           .min_open =
               checked_min_layers(drop_options.min_layers(), layers.size()),
           .max_open = static_cast<int64_t>(layers.size())},
          layers),
      options(drop_options),
      drop_rate_(drop_options.drop_rate()) {
  detail::check_drop_rate("LayerDrop", drop_rate_);
  draw_each_forward(options.seed() ? *options.seed() : detail::fresh_seed());
}

torch::Tensor LayerDropBase::forward(const torch::Tensor& input) {
  TORCH_CHECK_VALUE(
      input.defined(),
      "LayerDrop::forward: expected a tensor, got an undefined one");
  if (is_training() && draw_state() && drop_rate_ > 0 && num_branches() > 0) {
    draw_layers();
  } else {
    begin_forward(/*training=*/false);
  }
  torch::Tensor output = input;
  for (const int64_t index : ran_branches()) {
    detail::InputWatch watch;
    auto next = [&] {
      const detail::BranchRun running(branch_module(index));
      return any_branch(index).forward(watch.watch(output));
    }();
    watch.check_open(branches()->label(branches()->place(index)));
    TORCH_CHECK_VALUE(
        next.sizes() == output.sizes(),
        "LayerDrop::forward: expected layer ",
        index,
        " ('",
        branch_names()[static_cast<size_t>(index)],
        "') to return its input's shape ",
        output.sizes(),
        ", got ",
        next.sizes());
    output = std::move(next);
  }
  return detail::apart_from(input, output);
}

void LayerDropBase::set_drop_rate(double value) {
  detail::check_drop_rate("LayerDrop::set_drop_rate", value);
  drop_rate_ = value;
}

void LayerDropBase::keep_every(int64_t n) {
  TORCH_CHECK_VALUE(
      n >= 1, "LayerDrop::keep_every: expected n of at least 1, got ", n);
  std::vector<int64_t> kept;
  for (int64_t index = 0; index < num_branches(); index += n) {
    kept.push_back(index);
  }
  set_open(c10::IntArrayRef(kept));
}

void LayerDropBase::keep_first(int64_t count) {
  TORCH_CHECK_VALUE(
      min_open() <= count && count <= num_branches(),
      "LayerDrop::keep_first: expected a count in [",
      min_open(),
      ", ",
      num_branches(),
      "], got ",
      count);
  std::vector<int64_t> kept(static_cast<size_t>(count));
  std::iota(kept.begin(), kept.end(), 0);
  set_open(c10::IntArrayRef(kept));
}

void LayerDropBase::pretty_print(std::ostream& stream) const {
  stream << fmt::format(
      "gatedpaths::LayerDrop(drop_rate={}, min_layers={}, open=[{}])",
      drop_rate_,
      min_open(),
      open_text());
}

struct LayerDropBase::KeptRate : detail::KeptState {
  explicit KeptRate(LayerDropBase& owner)
      : gates(owner.BranchedModule::keep()),
        stack(owner),
        rate(owner.drop_rate_) {}

  ~KeptRate() override { stack.drop_rate_ = rate; }

  std::unique_ptr<detail::KeptState> gates;
  LayerDropBase& stack;
  double rate;
};

std::unique_ptr<detail::KeptState> LayerDropBase::keep() {
  return std::make_unique<KeptRate>(*this);
}

void LayerDropBase::draw_layers() {
  DrawState state = *draw_state();
  auto random = detail::next_draw(state, gate_kind());
  set_draw_state(state);
  if (drop_rate_ == 1) {
    // No set has a probability, but those of the smallest size have a limit.
    detail::draw_open_set(
        random, num_branches(), min_open(), min_open(), drawn_layers_);
  } else {
    const std::vector<double> keep(
        static_cast<size_t>(num_branches()), 1 - drop_rate_);
    detail::draw_conditional_set(
        random, keep, min_open(), num_branches(), drawn_layers_);
  }
  begin_forward_of(drawn_layers_);
}

}  // namespace gatedpaths
