// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/slots/slot_consumer.hpp>
#include <gatedpaths/slots/slots.hpp>

#include <torch/arg.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

namespace gatedpaths {

/// Options of `SlotLinear`.
///
/// Example: `SlotLinearOptions({400, 400}, 120).bias(false)`.
class SlotLinearOptions {
 public:
  /// The features of each slot, and those of the output.
  SlotLinearOptions(std::vector<int64_t> slot_features, int64_t out_features)
      : slot_features_(std::move(slot_features)), out_features_(out_features) {}

  /// The features of each slot.
  TORCH_ARG(std::vector<int64_t>, slot_features);
  /// The features of the output.
  TORCH_ARG(int64_t, out_features);

  /// Whether there is a bias. Default: true.
  TORCH_ARG(bool, bias) = true;

  /// Whether the weights of closed slots coast as those of a dense layer do:
  /// they get a gradient of zeros, so momentum and weight decay go on moving
  /// them, and the cost of a step grows with the number of slots. Default:
  /// false, they get no gradient and do not move.
  TORCH_ARG(bool, coast) = false;
};

/// The module behind `SlotLinear`, which see.
class GATEDPATHS_EXPORT SlotLinearImpl
    : public torch::nn::Cloneable<SlotLinearImpl>,
      public SlotConsumer {
 public:
  /// Makes the weights as a dense `torch::nn::Linear` of the same size does.
  explicit SlotLinearImpl(SlotLinearOptions layer_options);

  /// Checks the options and makes fresh parameters: `weight_0`, `weight_1`, ...
  /// (each `[out_features, slot_features[i]]`) and `bias` (`[out_features]`).
  void reset() override;

  /// Draws the parameters as `torch::nn::Linear` does for all slots together.
  void reset_parameters();

  /// `bias + sum over the open slots of slot * weight^T`. A slot that holds a
  /// part of the samples adds to their rows only. In half and bfloat16, of its
  /// own or by autocast, the sum is rounded once, as the dense layer's is.
  torch::Tensor forward(const Slots& slots);

  /// The dense layer, with a copy of the weights.
  torch::nn::Linear to_dense() const;

  /// A deep copy; the mode and `requires_grad` are kept, and no random number
  /// is drawn.
  std::shared_ptr<torch::nn::Module> clone(
      const std::optional<torch::Device>& device = std::nullopt) const override;

  int64_t num_slots() const noexcept override;
  std::vector<at::Tensor> slot_parameters(int64_t index) const override;
  std::vector<SlotSplit> slot_splits() const override;

  /// Prints `gatedpaths::SlotLinear(slot_features=[400, 400], out_features=120,
  /// bias=true, coast=false)`.
  void pretty_print(std::ostream& stream) const override;

  /// The options that it was made with.
  SlotLinearOptions options;
  /// One weight a slot, `[out_features, slot_features[i]]`.
  std::vector<torch::Tensor> weights;
  /// `[out_features]`; undefined without a bias.
  torch::Tensor bias;

 private:
  void check_slots(const Slots& slots) const;
  torch::Tensor forward_nothing(const Slots& slots);
  void drop_slots(c10::IntArrayRef kept) override;

  bool may_be_empty_ = false;  // since all slots were dropped
};

/// A linear layer on the open slots of a concatenation: what a
/// `torch::nn::Linear` computes of the dense concatenation, at the cost of the
/// open slots.
///
/// It has one weight for each slot. Those of slots without a value are neither
/// read nor given a gradient, so they do not move; in a dense layer momentum
/// and weight decay go on moving the columns of closed slots (`coast(true)`
/// does the same here, at the dense layer's cost). The bias counts once; with
/// no slot open the output is the bias.
///
/// Training and eval: the same.
///
/// Shape: slots `[N, ..., slot_features[i]]` along the last dim; output
/// `[N, ..., out_features]`.
///
/// Throws, when made: `c10::ValueError` for no slot or a size below 1. In
/// `forward`: `c10::ValueError` for `Slots` of another number of slots, along
/// another dim, or of other sizes.
///
/// Example:
/// ```
/// auto fc = gatedpaths::SlotLinear::from_dense(linear, {400, 400});
/// auto y = fc->forward(gate->forward_slots(x).flatten());
/// torch::nn::Linear dense = fc->to_dense();
/// ```
class SlotLinear : public torch::nn::ModuleHolder<SlotLinearImpl> {
 public:
  using torch::nn::ModuleHolder<SlotLinearImpl>::ModuleHolder;
  /// The module's type.
  using Impl = SlotLinearImpl;

  /// The slot form of a dense layer, with a copy of its weights.
  ///
  /// Throws: `c10::ValueError` for no slot, a size below 1, or `slot_features`
  /// that do not add up to the layer's `in_features`.
  GATEDPATHS_EXPORT static SlotLinear from_dense(
      const torch::nn::Linear& dense, std::vector<int64_t> slot_features);
};

}  // namespace gatedpaths
