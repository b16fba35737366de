// SPDX-License-Identifier: MIT
#include <gatedpaths/slots/slot_linear.hpp>

#include <gatedpaths/branches/detail/clone_module.hpp>
#include <gatedpaths/branches/detail/input_signature.hpp>
#include <gatedpaths/branches/detail/own_streams.hpp>

#include "dense_parts.hpp"
#include "slot_layer.hpp"

#include <ATen/ops/addmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <c10/util/accumulate.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <ostream>
#include <utility>

namespace gatedpaths {
namespace {

torch::nn::Linear dense_like(const SlotLinearOptions& options) {
  return torch::nn::Linear(
      torch::nn::LinearOptions(
          c10::sum_integers(options.slot_features()), options.out_features())
          .bias(options.bias()));
}

}  // namespace

SlotLinearImpl::SlotLinearImpl(SlotLinearOptions layer_options)
    : options(std::move(layer_options)) {
  SlotLinearImpl::reset();
}

void SlotLinearImpl::reset() {
  detail::check_slot_sizes(
      "SlotLinear", "slot_features", options.slot_features(), may_be_empty_);
  TORCH_CHECK_VALUE(
      options.out_features() >= 1,
      "SlotLinear: expected out_features of at least 1, got ",
      options.out_features());
  weights.clear();
  for (size_t i = 0; i < options.slot_features().size(); ++i) {
    weights.push_back(register_parameter(
        fmt::format("weight_{}", i),
        torch::empty({options.out_features(), options.slot_features()[i]})));
  }
  bias = register_parameter(
      "bias",
      options.bias() ? torch::empty(options.out_features()) : torch::Tensor(),
      options.bias());
  reset_parameters();
}

void SlotLinearImpl::reset_parameters() {
  const torch::NoGradGuard no_grad;
  if (weights.empty()) {
    if (bias.defined()) {
      bias.zero_();  // a dense layer of no features has no scale to draw it by
    }
    return;
  }
  // The dense layer's own initialisation: the same seed gives the same numbers.
  const auto dense = dense_like(options);
  const auto parts = dense->weight.split_with_sizes(
      c10::IntArrayRef(options.slot_features()), 1);
  for (size_t i = 0; i < weights.size(); ++i) {
    weights[i].copy_(parts[i]);
  }
  if (bias.defined()) {
    bias.copy_(dense->bias);
  }
}

torch::Tensor SlotLinearImpl::forward(const Slots& slots) {
  check_slots(slots);
  take(slots);
  const auto positions = slots.positions();
  const auto values = slots.values();
  options.coast() ? use_all() : use(positions);
  if (values.empty()) {
    return forward_nothing(slots);
  }
  const auto weight = [&](size_t i) {
    return weights[static_cast<size_t>(positions[i])];
  };
  if (slots.is_partial()) {
    const auto product = [](const torch::Tensor& value,
                            const torch::Tensor& of_slot,
                            const torch::Tensor& with_bias) {
      return at::linear(value, of_slot, with_bias);
    };
    const auto output =
        detail::sum_partial(slots, product, weights, bias, /*dim=*/-1);
    return options.coast() ? detail::let_coast(output, weights, positions)
                           : output;
  }
  torch::Tensor output;
  if (values.size() > 1 && detail::computes_in_reduced(values[0], weight(0))) {
    // As one product, which is rounded once, as the dense layer's is.
    output = at::linear(
        at::cat(values, -1), detail::joined_weights(weights, positions), bias);
  } else {
    output = at::linear(values[0], weight(0), bias);
    for (size_t i = 1; i < values.size(); ++i) {
      // One product that adds to what is there, where the shapes allow it.
      output = values[i].dim() == 2
                   ? at::addmm(output, values[i], weight(i).t())
                   : output + at::linear(values[i], weight(i));
    }
  }
  return options.coast() ? detail::let_coast(output, weights, positions)
                         : output;
}

torch::Tensor SlotLinearImpl::forward_nothing(const Slots& slots) {
  const auto zeros = slots.empty_value(0, -1);
  if (!weights.empty()) {
    detail::check_slot(
        "SlotLinear",
        zeros,
        slots.dim(),
        /*slot=*/0,
        options.slot_features().front(),
        /*dim=*/-1);
  }
  if (options.coast() && !weights.empty()) {
    return detail::let_coast(
        at::linear(zeros, weights.front(), bias), weights, /*open=*/0);
  }
  auto sizes = zeros.sizes().vec();
  sizes.back() = options.out_features();
  const auto like = !weights.empty() ? weights.front().options()
                    : bias.defined() ? bias.options()
                                     : zeros.options();
  // Autocast leaves double alone.
  const auto own = c10::typeMetaToScalarType(like.dtype());
  const auto autocast = detail::autocast_dtype(zeros.device().type());
  return detail::bias_alone(
      bias,
      sizes,
      like.dtype(own == at::kDouble ? own : autocast.value_or(own)),
      /*dim=*/-1);
}

void SlotLinearImpl::drop_slots(c10::IntArrayRef kept) {
  options.slot_features(detail::take_kept(options.slot_features(), kept));
  weights = detail::take_kept(weights, kept);
  may_be_empty_ = weights.empty();
  parameters_.clear();
  for (size_t i = 0; i < weights.size(); ++i) {
    register_parameter(
        fmt::format("weight_{}", i), weights[i], weights[i].requires_grad());
  }
  register_parameter("bias", bias, bias.defined() && bias.requires_grad());
}

torch::nn::Linear SlotLinearImpl::to_dense() const {
  // A fresh layer draws its weights; nobody asked for that.
  const detail::OwnStreams streams;
  auto dense = dense_like(options);
  detail::copy_to_dense(*this, *dense, detail::Dtypes::kOfWeight);
  return dense;
}

std::shared_ptr<torch::nn::Module> SlotLinearImpl::clone(
    const std::optional<torch::Device>& device) const {
  const detail::OwnStreams streams;
  auto copy = Cloneable::clone(device);
  detail::copy_requires_grad(*this, *copy);
  return copy;
}

int64_t SlotLinearImpl::num_slots() const noexcept {
  return static_cast<int64_t>(weights.size());
}

std::vector<at::Tensor> SlotLinearImpl::slot_parameters(int64_t index) const {
  detail::check_slot_index("SlotLinear", index, num_slots());
  return {weights[static_cast<size_t>(index)]};
}

std::vector<SlotSplit> SlotLinearImpl::slot_splits() const {
  return {detail::split_of("weight", options.slot_features(), 1)};
}

void SlotLinearImpl::pretty_print(std::ostream& stream) const {
  stream << fmt::format(
      "gatedpaths::SlotLinear(slot_features=[{}], out_features={}, bias={}, "
      "coast={})",
      fmt::join(options.slot_features(), ", "),
      options.out_features(),
      options.bias(),
      options.coast());
}

void SlotLinearImpl::check_slots(const Slots& slots) const {
  detail::check_slots("SlotLinear", slots, options.slot_features(), /*dim=*/-1);
}

SlotLinear SlotLinear::from_dense(
    const torch::nn::Linear& dense, std::vector<int64_t> slot_features) {
  detail::check_sum(
      "SlotLinear::from_dense",
      "slot_features",
      slot_features,
      "in_features",
      dense->options.in_features());
  // A fresh layer draws its weights; nobody asked for that.
  const detail::OwnStreams streams;
  SlotLinear layer(
      SlotLinearOptions(std::move(slot_features), dense->options.out_features())
          .bias(dense->options.bias()));
  detail::copy_from_dense(*layer, *dense, detail::Dtypes::kOfWeight);
  return layer;
}

}  // namespace gatedpaths
