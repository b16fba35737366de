// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/gates/gated_module.hpp>

#include <ATen/core/Tensor.h>
#include <torch/arg.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <ostream>
#include <utility>

namespace gatedpaths {

/// Options of `GateHead`.
///
/// Example: `GateHeadOptions(/*channels=*/64).temperature(0.5).seed(7)`.
class GateHeadOptions {
 public:
  /// The channels of the features, and how many gates are decided on.
  explicit GateHeadOptions(int64_t channels, int64_t gates = 1)
      : channels_(channels), gates_(gates) {}

  /// The channels of the features.
  TORCH_ARG(int64_t, channels);
  /// How many gates are decided on.
  TORCH_ARG(int64_t, gates);

  /// The features between the two linear layers. Default: 16.
  TORCH_ARG(int64_t, hidden) = 16;

  /// The temperature of the gradient in training, above 0: the higher, the
  /// smoother. It does not change how often a gate opens. Default: 1.
  TORCH_ARG(double, temperature) = 1;

  /// A gate is open in eval where its probability is above this, in [0, 1].
  /// Default: 0.5.
  TORCH_ARG(double, threshold) = 0.5;

  /// Names the stream of the noise of training forwards. Default: one that no
  /// other module has, the same in each run that makes its modules in the same
  /// order. Heads of one seed get the same noise. See `seed_draws`.
  TORCH_ARG(std::optional<uint64_t>, seed);
};

namespace detail {

/// `output` in the rows where `kept`, zeros elsewhere. The gradient of
/// `weight[n]` is the inner product of row n of the output and its gradient,
/// kept or closed; it is zero for what is `open` and not kept, and for a closed
/// row whose product is not finite.
GATEDPATHS_EXPORT at::Tensor weigh_rows(
    const at::Tensor& output,
    const at::Tensor& open,
    const at::Tensor& kept,
    const at::Tensor& weight);

/// A `GatedBranch`, or what is used like one, whose child takes such arguments
/// and returns a tensor.
template <class Branch, class... A>
concept SampleGatedBranch =
    requires(Branch& branch, const at::Tensor& open, A&&... args) {
      {
        branch->forward_samples(open, std::forward<A>(args)...)
      } -> std::convertible_to<at::Tensor>;
      branch->forward_all_samples(open, std::forward<A>(args)...);
    };

}  // namespace detail

/// What an `GateHead` decided for one batch. Tensors are `[N]` for one gate,
/// `[N, gates]` for several.
struct GATEDPATHS_EXPORT GateDecision {
  at::Tensor open;         ///< Bool: the gates, for `forward(x, open)`.
  at::Tensor weight;       ///< Exactly 0 or 1; in training with a gradient.
  at::Tensor probability;  ///< Of being open, in [0, 1].
  bool training = false;   ///< Whether it was decided in training.

  /// The decision on one gate of several.
  ///
  /// Throws: `c10::IndexError` where there is no such gate.
  GateDecision gate(int64_t index) const;

  /// Runs a `GatedBranch` as decided, for a decision on one gate. `args` are
  /// what its child takes, and nothing else reaches the child: with several
  /// tensors, `GatedBranchOptions::sample_arguments` says which of them have a
  /// row for each sample.
  ///
  /// In training it runs on all samples, and the rows of closed ones are made
  /// zeros: so each gate learns from what its branch would have given. Where
  /// that, times its gradient, is not finite, the gate learns nothing from the
  /// sample: an inf or NaN in a closed row never reaches `weight`. (It is the
  /// child's own affair where one arises within it: its backward then
  /// multiplies that by zero.) In eval the branch runs on the open samples
  /// only.
  ///
  /// A capacity of the branch counts the samples that are open, in training as
  /// in eval: `Overflow::kRefuse` throws where they are too many, and
  /// `Overflow::kDrop` closes some of them, drawn in training. A dropped
  /// sample has a row of zeros, and its gate learns nothing from the branch;
  /// `weight` and `open` stay what was decided. So a capacity bounds what runs
  /// in eval, and what counts in training.
  ///
  /// Throws: `c10::ValueError` for a decision on several gates, an output
  /// without a row for each sample, more open samples than a capacity with
  /// `kRefuse`; what `GatedBranchImpl::forward_samples` throws.
  template <class Branch, class... A>
    requires detail::SampleGatedBranch<Branch, A...>
  at::Tensor run(Branch&& branch, A&&... args) const {
    check_single();
    if (!training) {
      return branch->forward_samples(open, std::forward<A>(args)...);
    }
    const auto [output, kept] =
        branch->forward_all_samples(open, std::forward<A>(args)...);
    return detail::weigh_rows(output, open, kept, weight);
  }

 private:
  void check_single() const;
};

/// The module behind `GateHead`, which see.
class GATEDPATHS_EXPORT GateHeadImpl
    : public torch::nn::Cloneable<GateHeadImpl>,
      public virtual detail::Restorable,
      public virtual Drawer {
 public:
  /// Makes the layers as `torch::nn::Linear` does.
  explicit GateHeadImpl(GateHeadOptions gate_options);

  /// Checks the options and makes fresh layers, "reduce" and "decide".
  void reset() override;

  /// Decides for each sample of `features`, `[N, channels, ...]`.
  GateDecision forward(const torch::Tensor& features);

  /// Where the noise stands: `step` counts the training forwards.
  const DrawState& draw_state() const noexcept { return draw_state_; }

  /// Goes on from a saved state.
  void set_draw_state(const DrawState& state) { draw_state_ = state; }

  /// Visits the noise, as of the kind "head".
  void visit_draws(const DrawVisitor& visit) override {
    visit("head", draw_state_);
  }

  /// A deep copy with the same draws ahead; modes and `requires_grad` are kept.
  std::shared_ptr<torch::nn::Module> clone(
      const std::optional<torch::Device>& device = std::nullopt) const override;

  /// Prints `gatedpaths::GateHead(channels=64, gates=1, hidden=16,
  /// temperature=1, threshold=0.5)`, and the seed where it was given.
  void pretty_print(std::ostream& stream) const override;

  /// The options that it was made with; temperature and threshold may be
  /// changed later, as by a schedule.
  GateHeadOptions options;
  torch::nn::Linear reduce = nullptr;  ///< From the channels to `hidden`.
  torch::nn::Linear decide = nullptr;  ///< From `hidden` to the gates.

 private:
  struct KeptDraws;

  std::unique_ptr<detail::KeptState> keep() override;
  void check_options() const;
  torch::Tensor logistic_noise(const torch::Tensor& logits);

  DrawState draw_state_;
};

/// A small head that decides for each sample, from features of it, which gates
/// are open: the features are averaged over all dims behind the channels, then
/// linear, relu, linear give one logit a gate. After SkipNet (Wang et al., ECCV
/// 2018) and ConvNet-AIG (Veit and Belongie, ECCV 2018).
///
/// Training: a gate is open where `logit + noise > 0`, with logistic noise, the
/// difference of the two Gumbel noises of a choice between open and closed: so
/// with probability `sigmoid(logit)`. `weight` is that 0 or 1, with the
/// gradient of `sigmoid((logit + noise) / temperature)` (straight-through
/// Gumbel softmax: Jang et al., ICLR 2017). The noise is a function of seed and
/// step alone.
///
/// Eval: a gate is open where `sigmoid(logit) > threshold`. Nothing is drawn,
/// and the branch does not run on closed samples.
///
/// Both: a sample whose averages are not all finite is closed, with a
/// probability of 0, and gives the head no gradient: a single inf or NaN would
/// else be in all of its parameters after the next step.
///
/// Shape: features `[N, channels, ...]`; the decision `[N]`, or `[N, gates]`
/// for more than one gate.
///
/// Throws, when made and in `forward`: `c10::ValueError` for sizes below 1, a
/// temperature that is not above 0, a threshold outside of [0, 1]; in `forward`
/// for features of other channels.
///
/// Example:
/// ```
/// gatedpaths::GateHead gate(gatedpaths::GateHeadOptions(64).seed(7));
/// const auto decision = gate->forward(x);        // [N, 64, H, W] -> [N]
/// auto y = x + decision.run(branch, x);          // a GatedBranch
/// auto loss = task + cost * decision.weight.mean();
/// ```
class GateHead : public torch::nn::ModuleHolder<GateHeadImpl> {
 public:
  using torch::nn::ModuleHolder<GateHeadImpl>::ModuleHolder;
  /// The module's type.
  using Impl = GateHeadImpl;
};

}  // namespace gatedpaths
