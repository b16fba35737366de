// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/slots/slot_consumer.hpp>
#include <gatedpaths/slots/slots.hpp>

#include <torch/arg.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/modules/batchnorm.h>
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

/// Options of `SlotBatchNorm1d` and `SlotBatchNorm2d`.
///
/// Example: `SlotBatchNormOptions({16, 16}, torch::nn::BatchNormOptions(32))`.
class SlotBatchNormOptions {
 public:
  /// The channels of each slot, and the options of the dense layer, whose
  /// `num_features` is their sum.
  SlotBatchNormOptions(
      std::vector<int64_t> slot_channels, torch::nn::BatchNormOptions dense)
      : slot_channels_(std::move(slot_channels)), dense_(dense) {}

  /// The channels of each slot.
  TORCH_ARG(std::vector<int64_t>, slot_channels);
  /// The options of the dense layer.
  TORCH_ARG(torch::nn::BatchNormOptions, dense);
};

namespace detail {

template <size_t D>
using DenseBatchNorm =
    std::conditional_t<D == 1, torch::nn::BatchNorm1d, torch::nn::BatchNorm2d>;

}  // namespace detail

/// The module behind `SlotBatchNorm1d` and `SlotBatchNorm2d`, which see.
template <size_t D>
class GATEDPATHS_EXPORT SlotBatchNormImpl
    : public torch::nn::Cloneable<SlotBatchNormImpl<D>>,
      public SlotConsumer {
 public:
  /// Makes one norm a slot.
  explicit SlotBatchNormImpl(SlotBatchNormOptions layer_options);

  /// Checks the options and makes fresh norms, called "0", "1", ...
  void reset() override;

  /// Normalises the values of the open slots; empty ones stay empty.
  Slots forward(const Slots& slots);

  /// The dense layer, with a copy of parameters and statistics. Its
  /// `num_batches_tracked` is the largest of the slots'.
  detail::DenseBatchNorm<D> to_dense() const;

  /// A deep copy; the mode and `requires_grad` are kept.
  std::shared_ptr<torch::nn::Module> clone(
      const std::optional<torch::Device>& device = std::nullopt) const override;

  int64_t num_slots() const noexcept override;
  std::vector<at::Tensor> slot_parameters(int64_t index) const override;
  std::vector<SlotSplit> slot_splits() const override;

  /// Prints `gatedpaths::SlotBatchNorm2d(slot_channels=[16, 16])`.
  void pretty_print(std::ostream& stream) const override;

  /// The options that it was made with.
  SlotBatchNormOptions options;
  /// One norm a slot.
  std::vector<detail::DenseBatchNorm<D>> norms;

 private:
  void drop_slots(c10::IntArrayRef kept) override;

  bool may_be_empty_ = false;  // since all slots were dropped
};

extern template class SlotBatchNormImpl<1>;
extern template class SlotBatchNormImpl<2>;

/// Batch norm over the open slots of a concatenation along the channels: each
/// channel has its own statistics, so the norm of a slot is that of its part of
/// the dense layer.
///
/// What differs from the dense layer is the empty slots. There the dense layer
/// sees channels of zeros: it returns its bias for them in training, and pulls
/// their running statistics towards zero. Here empty slots stay empty, which
/// means zeros, and their statistics do not move. So it is with the samples
/// that a slot does not hold (gates for each sample): each slot is normalised
/// over those that it holds, where the dense layer counts the zeros of the
/// others.
///
/// Training and eval: as `torch::nn::BatchNorm2d`, for the open slots.
///
/// Shape: slots `[N, slot_channels[i]]` or `[N, slot_channels[i], L]` (`D` =
/// 1),
/// `[N, slot_channels[i], H, W]` (`D` = 2), concatenated along dim 1; the
/// result has the same.
///
/// Throws: as `SlotLinear`; when made also as `from_dense`.
///
/// Example:
/// ```
/// auto norm = gatedpaths::SlotBatchNorm2d::from_dense(dense, {16, 16});
/// auto y = conv->forward(norm->forward(gate->forward_slots(x)));
/// ```
template <size_t D>
class SlotBatchNorm : public torch::nn::ModuleHolder<SlotBatchNormImpl<D>> {
 public:
  using torch::nn::ModuleHolder<SlotBatchNormImpl<D>>::ModuleHolder;
  /// The module's type.
  using Impl = SlotBatchNormImpl<D>;

  /// The slot form of a dense layer, with a copy of parameters and statistics.
  ///
  /// Throws: `c10::ValueError` for no slot, a size below 1, or `slot_channels`
  /// that do not add up to the layer's `num_features`.
  GATEDPATHS_EXPORT static SlotBatchNorm from_dense(
      const detail::DenseBatchNorm<D>& dense,
      std::vector<int64_t> slot_channels);
};

extern template class SlotBatchNorm<1>;
extern template class SlotBatchNorm<2>;

/// `SlotBatchNorm` over `[N, C]` or `[N, C, L]`.
using SlotBatchNorm1d = SlotBatchNorm<1>;
/// `SlotBatchNorm` over `[N, C, H, W]`.
using SlotBatchNorm2d = SlotBatchNorm<2>;

}  // namespace gatedpaths
