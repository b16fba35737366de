// SPDX-License-Identifier: MIT
#include <gatedpaths/slots/slot_conv.hpp>

#include <gatedpaths/branches/detail/clone_module.hpp>
#include <gatedpaths/branches/detail/own_streams.hpp>

#include "dense_parts.hpp"
#include "slot_layer.hpp"

#include <ATen/ops/cat.h>
#include <c10/util/Exception.h>
#include <c10/util/accumulate.h>
#include <torch/nn/functional/conv.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <ostream>
#include <utility>
#include <variant>

namespace gatedpaths {
namespace {

template <size_t D>
constexpr const char* kLayer = D == 1 ? "SlotConv1d" : "SlotConv2d";

// Whether one convolution of all values together is faster than a sum of one
// each: a convolution has costs of its own in both directions, but joining
// copies the values. Where the two cross, on a CPU (bench_several_open). In
// reduced dtypes they are joined in any case, for the sum to be rounded once.
bool joining_pays(c10::ArrayRef<at::Tensor> values) {
  constexpr int64_t kMostJoined = int64_t{1} << 20;
  int64_t elements = 0;
  for (const at::Tensor& value : values) {
    elements += value.numel();
  }
  return elements <= kMostJoined;
}

template <size_t D>
void check_dense_options(const torch::nn::ConvOptions<D>& dense) {
  TORCH_CHECK_VALUE(
      dense.groups() == 1,
      kLayer<D>,
      ": expected groups of 1, since groups cut across slots, got ",
      dense.groups());
  TORCH_CHECK_VALUE(
      std::holds_alternative<torch::enumtype::kZeros>(dense.padding_mode()),
      kLayer<D>,
      ": expected padding_mode kZeros, got ",
      torch::enumtype::get_enum_name(dense.padding_mode()));
}

}  // namespace

template <size_t D>
SlotConvImpl<D>::SlotConvImpl(SlotConvOptions<D> layer_options)
    : options(std::move(layer_options)) {
  SlotConvImpl::reset();
}

template <size_t D>
void SlotConvImpl<D>::reset() {
  detail::check_slot_sizes(
      kLayer<D>, "slot_channels", options.slot_channels(), may_be_empty_);
  check_dense_options(options.dense());
  detail::check_sum(
      kLayer<D>,
      "slot_channels",
      options.slot_channels(),
      "in_channels",
      options.dense().in_channels());
  const auto& dense = options.dense();
  weights.clear();
  for (size_t i = 0; i < options.slot_channels().size(); ++i) {
    std::vector<int64_t> sizes = {
        dense.out_channels(), options.slot_channels()[i]};
    sizes.insert(
        sizes.end(), dense.kernel_size()->begin(), dense.kernel_size()->end());
    weights.push_back(this->register_parameter(
        fmt::format("weight_{}", i), torch::empty(sizes)));
  }
  bias = this->register_parameter(
      "bias",
      dense.bias() ? torch::empty(dense.out_channels()) : torch::Tensor(),
      dense.bias());
  reset_parameters();
}

template <size_t D>
void SlotConvImpl<D>::reset_parameters() {
  const torch::NoGradGuard no_grad;
  if (weights.empty()) {
    if (bias.defined()) {
      bias.zero_();  // a dense layer of no channels has no scale to draw it by
    }
    return;
  }
  // The dense layer's own initialisation: the same seed gives the same numbers.
  const detail::DenseConv<D> dense(options.dense());
  const auto parts = dense->weight.split_with_sizes(
      c10::IntArrayRef(options.slot_channels()), 1);
  for (size_t i = 0; i < weights.size(); ++i) {
    weights[i].copy_(parts[i]);
  }
  if (bias.defined()) {
    bias.copy_(dense->bias);
  }
}

template <size_t D>
torch::Tensor SlotConvImpl<D>::convolve(
    const torch::Tensor& input,
    const torch::Tensor& weight,
    const torch::Tensor& with_bias) const {
  namespace functional = torch::nn::functional::detail;
  const auto& dense = options.dense();
  if constexpr (D == 1) {
    return functional::conv1d(
        input,
        weight,
        with_bias,
        dense.stride(),
        dense.padding(),
        dense.dilation(),
        /*groups=*/1);
  } else {
    return functional::conv2d(
        input,
        weight,
        with_bias,
        dense.stride(),
        dense.padding(),
        dense.dilation(),
        /*groups=*/1);
  }
}

template <size_t D>
torch::Tensor SlotConvImpl<D>::forward(const Slots& slots) {
  detail::check_slots(kLayer<D>, slots, options.slot_channels(), /*dim=*/1);
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
    const auto product = [&](const torch::Tensor& value,
                             const torch::Tensor& of_slot,
                             const torch::Tensor& with_bias) {
      return convolve(value, of_slot, with_bias);
    };
    const auto output =
        detail::sum_partial(slots, product, weights, bias, /*dim=*/1);
    return options.coast() ? detail::let_coast(output, weights, positions)
                           : output;
  }
  torch::Tensor output;
  if (values.size() > 1 &&
      (joining_pays(values) ||
       detail::computes_in_reduced(values[0], weight(0)))) {
    output = convolve(
        at::cat(values, 1), detail::joined_weights(weights, positions), bias);
  } else {
    output = convolve(values[0], weight(0), bias);
    for (size_t i = 1; i < values.size(); ++i) {
      output = output + convolve(values[i], weight(i), {});
    }
  }
  return options.coast() ? detail::let_coast(output, weights, positions)
                         : output;
}

template <size_t D>
torch::Tensor SlotConvImpl<D>::forward_nothing(const Slots& slots) {
  const auto zeros = slots.empty_value(0, -1);
  const bool has_weights = !weights.empty();
  if (has_weights) {
    detail::check_slot(
        kLayer<D>,
        zeros,
        slots.dim(),
        /*slot=*/0,
        options.slot_channels().front(),
        /*dim=*/1);
  }
  if (options.coast() && has_weights) {
    return detail::let_coast(
        convolve(zeros, weights.front(), bias), weights, /*open=*/0);
  }
  // Detached, or autocast would keep a weight without a graph in its cache.
  const auto weight =
      has_weights ? weights.front().detach() : some_weight(zeros);
  const auto none = convolve(zeros.narrow(0, 0, 0), weight, {});
  auto sizes = none.sizes().vec();
  sizes.front() = zeros.size(0);
  return detail::bias_alone(bias, sizes, none.options(), /*dim=*/1);
}

// For the sizes of what a layer without weights gives.
template <size_t D>
torch::Tensor SlotConvImpl<D>::some_weight(const torch::Tensor& input) const {
  std::vector<int64_t> sizes = {options.dense().out_channels(), input.size(1)};
  const auto& kernel = *options.dense().kernel_size();
  sizes.insert(sizes.end(), kernel.begin(), kernel.end());
  return torch::zeros(
      sizes,
      input.options().dtype(
          bias.defined() ? bias.scalar_type() : input.scalar_type()));
}

template <size_t D>
void SlotConvImpl<D>::drop_slots(c10::IntArrayRef kept) {
  options.slot_channels(detail::take_kept(options.slot_channels(), kept));
  auto dense = options.dense();
  options.dense(dense.in_channels(c10::sum_integers(options.slot_channels())));
  weights = detail::take_kept(weights, kept);
  may_be_empty_ = weights.empty();
  this->parameters_.clear();
  for (size_t i = 0; i < weights.size(); ++i) {
    this->register_parameter(
        fmt::format("weight_{}", i), weights[i], weights[i].requires_grad());
  }
  this->register_parameter(
      "bias", bias, bias.defined() && bias.requires_grad());
}

template <size_t D>
detail::DenseConv<D> SlotConvImpl<D>::to_dense() const {
  // A fresh layer draws its weights; nobody asked for that.
  const detail::OwnStreams streams;
  detail::DenseConv<D> dense(options.dense());
  detail::copy_to_dense(*this, *dense, detail::Dtypes::kOfWeight);
  return dense;
}

template <size_t D>
std::shared_ptr<torch::nn::Module> SlotConvImpl<D>::clone(
    const std::optional<torch::Device>& device) const {
  const detail::OwnStreams streams;
  auto copy = torch::nn::Cloneable<SlotConvImpl<D>>::clone(device);
  detail::copy_requires_grad(*this, *copy);
  return copy;
}

template <size_t D>
int64_t SlotConvImpl<D>::num_slots() const noexcept {
  return static_cast<int64_t>(weights.size());
}

template <size_t D>
std::vector<at::Tensor> SlotConvImpl<D>::slot_parameters(int64_t index) const {
  detail::check_slot_index(kLayer<D>, index, num_slots());
  return {weights[static_cast<size_t>(index)]};
}

template <size_t D>
std::vector<SlotSplit> SlotConvImpl<D>::slot_splits() const {
  return {detail::split_of("weight", options.slot_channels(), 1)};
}

template <size_t D>
void SlotConvImpl<D>::pretty_print(std::ostream& stream) const {
  stream << fmt::format(
      "gatedpaths::{}(slot_channels=[{}], coast={}, dense=",
      kLayer<D>,
      fmt::join(options.slot_channels(), ", "),
      options.coast());
  // A fresh layer draws its weights; nobody asked for that.
  const detail::OwnStreams streams;
  detail::DenseConv<D>(options.dense())->pretty_print(stream);
  stream << ")";
}

template <size_t D>
SlotConv<D> SlotConv<D>::from_dense(
    const detail::DenseConv<D>& dense, std::vector<int64_t> slot_channels) {
  // A fresh layer draws its weights; nobody asked for that.
  const detail::OwnStreams streams;
  const torch::nn::ConvOptions<D> dense_options(
      torch::nn::ConvOptions<D>(
          dense->options.in_channels(),
          dense->options.out_channels(),
          dense->options.kernel_size())
          .stride(dense->options.stride())
          .padding(dense->options.padding())
          .dilation(dense->options.dilation())
          .groups(dense->options.groups())
          .bias(dense->options.bias())
          .padding_mode(dense->options.padding_mode()));
  SlotConv layer(SlotConvOptions<D>(std::move(slot_channels), dense_options));
  detail::copy_from_dense(*layer, *dense, detail::Dtypes::kOfWeight);
  return layer;
}

template class SlotConvImpl<1>;
template class SlotConvImpl<2>;
template class SlotConv<1>;
template class SlotConv<2>;

}  // namespace gatedpaths
