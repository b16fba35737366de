// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/slots/slot_consumer.hpp>
#include <gatedpaths/slots/slots.hpp>

#include <torch/arg.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/pimpl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <ostream>
#include <type_traits>
#include <utility>
#include <vector>

namespace gatedpaths {

/// Options of `SlotConv1d` (`D` = 1) and `SlotConv2d` (`D` = 2).
///
/// Example:
/// `SlotConvOptions<2>({16, 16}, torch::nn::Conv2dOptions(32, 64,
/// 3).padding(1))`.
template <size_t D>
class SlotConvOptions {
 public:
  /// The channels of each slot, and the options of the dense layer, whose
  /// `in_channels` is their sum.
  SlotConvOptions(
      std::vector<int64_t> slot_channels, torch::nn::ConvOptions<D> dense)
      : slot_channels_(std::move(slot_channels)), dense_(std::move(dense)) {}

  /// The channels of each slot.
  TORCH_ARG(std::vector<int64_t>, slot_channels);
  /// The options of the dense layer.
  TORCH_ARG(torch::nn::ConvOptions<D>, dense);

  /// Whether the weights of closed slots coast as those of a dense layer do,
  /// see `SlotLinearOptions::coast`. Default: false.
  TORCH_ARG(bool, coast) = false;
};

namespace detail {

template <size_t D>
using DenseConv =
    std::conditional_t<D == 1, torch::nn::Conv1d, torch::nn::Conv2d>;

}  // namespace detail

/// The module behind `SlotConv1d` and `SlotConv2d`, which see.
template <size_t D>
class GATEDPATHS_EXPORT SlotConvImpl
    : public torch::nn::Cloneable<SlotConvImpl<D>>,
      public SlotConsumer {
 public:
  /// Makes the weights as a dense layer of the same options does.
  explicit SlotConvImpl(SlotConvOptions<D> layer_options);

  /// Checks the options and makes fresh parameters: `weight_0`, `weight_1`, ...
  /// (each `[out_channels, slot_channels[i], ...]`) and `bias`
  /// (`[out_channels]`).
  void reset() override;

  /// Draws the parameters as the dense layer does for all slots together.
  void reset_parameters();

  /// `bias + sum over the open slots of conv(slot, weight)`. A slot that holds
  /// a part of the samples adds to their rows only. In half and bfloat16, of
  /// its own or by autocast, the sum is rounded once, as the dense layer's is.
  torch::Tensor forward(const Slots& slots);

  /// The dense layer, with a copy of the weights.
  detail::DenseConv<D> to_dense() const;

  /// A deep copy; the mode and `requires_grad` are kept, and no random number
  /// is drawn.
  std::shared_ptr<torch::nn::Module> clone(
      const std::optional<torch::Device>& device = std::nullopt) const override;

  int64_t num_slots() const noexcept override;
  std::vector<at::Tensor> slot_parameters(int64_t index) const override;
  std::vector<SlotSplit> slot_splits() const override;

  /// Prints `gatedpaths::SlotConv2d(slot_channels=[16, 16], coast=false,
  /// dense=torch::nn::Conv2d(32, 64, ...))`.
  void pretty_print(std::ostream& stream) const override;

  /// The options that it was made with.
  SlotConvOptions<D> options;
  /// One weight a slot, `[out_channels, slot_channels[i], ...]`.
  std::vector<torch::Tensor> weights;
  /// `[out_channels]`; undefined without a bias.
  torch::Tensor bias;

 private:
  torch::Tensor convolve(
      const torch::Tensor& input,
      const torch::Tensor& weight,
      const torch::Tensor& with_bias) const;
  torch::Tensor forward_nothing(const Slots& slots);
  torch::Tensor some_weight(const torch::Tensor& input) const;
  void drop_slots(c10::IntArrayRef kept) override;

  bool may_be_empty_ = false;  // since all slots were dropped
};

extern template class SlotConvImpl<1>;
extern template class SlotConvImpl<2>;

/// A convolution over the open slots of a concatenation along the channels:
/// what a dense convolution computes of the dense concatenation, at the cost of
/// the open slots. See `SlotLinear`, whose rules it shares.
///
/// Not for `groups` other than 1, nor for a padding mode other than zeros.
///
/// Shape: slots `[N, slot_channels[i], L]` (`D` = 1) or
/// `[N, slot_channels[i], H, W]` (`D` = 2), concatenated along dim 1; output as
/// the dense layer's.
///
/// Throws: as `SlotLinear`; when made also as `from_dense`.
///
/// Example:
/// ```
/// auto conv = gatedpaths::SlotConv2d::from_dense(dense, {16, 16});
/// auto y = conv->forward(gate->forward_slots(x));  // [N, 64, H, W]
/// ```
template <size_t D>
class SlotConv : public torch::nn::ModuleHolder<SlotConvImpl<D>> {
 public:
  using torch::nn::ModuleHolder<SlotConvImpl<D>>::ModuleHolder;
  /// The module's type.
  using Impl = SlotConvImpl<D>;

  /// The slot form of a dense layer, with a copy of its weights.
  ///
  /// Throws: `c10::ValueError` for no slot, a size below 1, `slot_channels`
  /// that do not add up to the layer's `in_channels`, `groups` other than 1, or
  /// a padding mode other than zeros.
  GATEDPATHS_EXPORT static SlotConv from_dense(
      const detail::DenseConv<D>& dense, std::vector<int64_t> slot_channels);
};

extern template class SlotConv<1>;
extern template class SlotConv<2>;

/// `SlotConv` over `[N, C, L]`.
using SlotConv1d = SlotConv<1>;
/// `SlotConv` over `[N, C, H, W]`.
using SlotConv2d = SlotConv<2>;

}  // namespace gatedpaths
