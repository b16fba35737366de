// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/gates/branch_weighting.hpp>
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/learning/path_logits.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/paths/sampler.hpp>

#include <ATen/core/Tensor.h>
#include <torch/serialize/archive.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gatedpaths {

/// The base of estimators: each gives `PathLogits` a gradient of the loss while
/// only some branches run.
///
/// | | runs in each gate | gives the gradient of | bias, as measured |
/// |---|---|---|---|
/// | `ReinforceEstimator` | what is open | the expected loss | none |
/// | `TwoPathEstimator` | 2 branches | the expected loss | 0.65 |
/// | `GumbelEstimator` | 1 branch | the expected loss | 0.85 |
/// | `MixtureEstimator` | all branches | the loss of the mixture | 0.37 |
///
/// The bias is the distance of the mean estimate from the gradient of the
/// expected loss, as a part of its norm, on one small network
/// (`tests/unit/learning/test_estimator_bias.cpp`); it differs from network to
/// network. All but the first need `ChoiceBlock`s with one open branch.
///
/// A step of the architecture is `apply`, forwards in training mode,
/// `objective(loss).backward()`, the optimizer's step, `finish_step`. Several
/// forwards and backwards may come between, and several `apply` before one
/// step: gradients add up. A step of the weights is `apply_plain`, after which
/// the logits take no part. In eval mode nothing of an estimator is in effect:
/// the applied path runs as it is.
///
/// The backward also gives the network's parameters their gradients: clear them
/// before the next step of the weights. With an `OpenOptimizer`, hand it the
/// path, `steps.apply(estimator.apply())`. What follows a block may change its
/// output in place, as without an estimator: after `apply` a block returns a
/// copy where the backward needs the output.
///
/// The gradient of the logits can be differentiated again (`create_graph`, as
/// unrolled steps do), with respect to weights and logits, as the formula that
/// each class gives: constants of a straight-through estimate stay constants,
/// and so does the baseline of `ReinforceEstimator`. `TwoPathEstimator` throws
/// in that backward, since its second branch has no graph.
///
/// All gates of the space have to keep to the path. One that draws by itself in
/// training does not: a `PathSpace` leaves those out unless it is told
/// otherwise, and `StochasticDepth` or `LayerDrop` may so be anywhere in the
/// network; each draws as without an estimator.
///
/// The draws of a step are a function of (seed, the class, step, gate) and the
/// logits alone. `apply` and `apply_plain` read the logits on the host, which
/// waits for the device once, and go one step on.
///
/// It keeps the network alive as `PathSpace` does; a network on the stack has
/// to outlive it. Not to be used from several threads at once.
///
/// Example:
/// ```
/// gatedpaths::PathLogits logits(space);
/// gatedpaths::GumbelEstimator estimator(logits, space, /*seed=*/3);
/// torch::optim::Adam architecture(logits->parameters(), 3e-3);
/// // a step of the architecture
/// estimator.apply();
/// architecture.zero_grad();
/// estimator.objective(loss(net->forward(x), y)).backward();
/// architecture.step();
/// estimator.finish_step();
/// // a step of the weights
/// estimator.apply_plain();
/// weights.zero_grad();
/// loss(net->forward(x), y).backward();
/// weights.step();
/// ```
class GATEDPATHS_EXPORT PathEstimator {
 public:
  /// Ends what is in effect in the network's blocks.
  virtual ~PathEstimator();
  PathEstimator(const PathEstimator&) = delete;
  PathEstimator& operator=(const PathEstimator&) = delete;

  /// Draws the path of this step, applies it, and lets the next training
  /// forwards pass gradients to the logits. Goes one step on.
  ///
  /// Throws: `c10::Error` for logits that are not finite, and at step 2^64 - 1,
  /// which no step follows; `c10::ValueError` for a gate of the space that has
  /// begun to draw by itself. What was in effect before still is.
  Path apply();

  /// Draws a path by the logits' probabilities, as `PathLogits::draw` does, and
  /// applies it; forwards are then as without an estimator. Goes one step on.
  ///
  /// Throws: as `apply`.
  Path apply_plain();

  /// What to call `backward()` on, for a loss of the path that `apply` gave:
  /// the loss itself, or what an estimator says.
  ///
  /// Throws: `c10::ValueError` for a loss of more than one element.
  virtual torch::Tensor objective(const torch::Tensor& loss);

  /// To be called after the step of the logits' optimizer: forwards are plain
  /// again.
  virtual void finish_step();

  /// How many branches of this gate a training forward runs after `apply`.
  ///
  /// Throws: `c10::IndexError` where there is no such gate.
  virtual int64_t branches_run(int64_t gate) const = 0;

  /// The class's name, e.g. `"GumbelEstimator"`.
  const std::string& name() const& noexcept { return name_; }
  /// \overload
  std::string name() const&& { return name_; }

  /// The logits that it gives gradients to.
  const PathLogits& logits() const& noexcept { return logits_; }
  /// \overload
  PathLogits logits() const&& { return logits_; }

  /// The space of the network.
  const PathSpace& space() const& noexcept { return space_; }
  /// \overload
  PathSpace space() const&& { return space_; }

  /// Where its stream of random numbers stands.
  const DrawState& state() const& noexcept { return state_; }
  /// \overload
  DrawState state() const&& noexcept { return state_; }

  /// Goes on from a saved state, its seed included.
  ///
  /// Throws: `c10::ValueError` for the state of another class's estimator, of
  /// another space, or of something else that draws, where the state knows that
  /// (`DrawState::source`); the estimator is then where it was.
  void set_state(const DrawState& state);

  /// Writes the logits and all that the estimator needs to go on exactly. The
  /// optimizers, the network and other samplers are saved beside it, and so is
  /// a schedule: the archive may hold more. To be called between steps.
  void save(torch::serialize::OutputArchive& archive) const;

  /// Goes on from what `save` wrote. The logits keep their storage, so that an
  /// optimizer that holds them stays valid. A step that is not finished is
  /// forgotten: what is loaded is what a new estimator would have.
  ///
  /// Throws: `c10::ValueError`, with both, where the archive is of another
  /// estimator or of another space, or lacks something; nothing has changed
  /// then.
  ///
  /// Example:
  /// ```
  /// torch::serialize::OutputArchive archive;
  /// estimator.save(archive);
  /// gatedpaths::save_atomically("architecture.pt", archive);
  /// ...
  /// torch::serialize::InputArchive saved;
  /// saved.load_from("architecture.pt");
  /// estimator.load(saved);
  /// ```
  void load(torch::serialize::InputArchive& archive);

 protected:
  /// What one step draws.
  struct Draw {
    Path path;  ///< To be applied.
    /// By gate, how its block weighs its branches.
    std::vector<std::pair<int64_t, std::shared_ptr<const BranchWeighting>>>
        weightings{};
    /// Gates that the path does not reach and that run all the same, with the
    /// branch to open.
    std::vector<std::pair<int64_t, int64_t>> beside{};
  };
  /// Numbers by name, as they are saved.
  using Numbers = std::vector<std::pair<std::string, double>>;

  /// `name` is the class's.
  ///
  /// Throws: `c10::ValueError` for an empty holder, logits of another space, or
  /// a gate of the space that draws by itself.
  PathEstimator(
      std::string name, PathLogits logits, PathSpace space, uint64_t seed);

  /// For estimators that take gradients from outputs: finds the blocks.
  ///
  /// Throws: `c10::ValueError` that names the first gate that is not a
  /// `ChoiceBlock` with one open branch and zeros for closed ones, and says
  /// what to choose.
  void find_blocks();

  /// The seed to draw with: that of the state, made one of this class alone
  /// (`stream_seed`), since others may be given the same.
  uint64_t stream() const;

  /// What step `step` draws from these logits, by gate and branch.
  virtual Draw draw(
      const std::vector<std::vector<double>>& values, uint64_t step) = 0;

  /// Numbers of the deriving class that are saved too; the next two get them
  /// in the same order.
  virtual Numbers numbers() const { return {}; }
  /// Throws `c10::ValueError` where one is not valid.
  virtual void check_numbers(const Numbers& /*saved*/) const {}
  /// Goes on with them.
  virtual void set_numbers(const Numbers& /*saved*/) {}

  /// Throws `c10::Error` where `save` may not be called now.
  virtual void check_between_steps() const {}
  /// Forgets a step that `finish_step` has not ended, before what is loaded
  /// holds.
  virtual void forget_step() noexcept {}

  /// Whether the present path is one of `apply`, and its step not finished.
  bool applied() const noexcept { return applied_; }

  /// Noise and the like as a tensor beside the logits of a gate.
  torch::Tensor beside_logits(
      int64_t gate, const std::vector<double>& values) const;

 private:
  struct Armed {
    ChoiceBlockBase* block;
    std::shared_ptr<const BranchWeighting> weighting;
  };

  void disarm() noexcept;
  void check_draws(std::string_view method) const;
  void check_origin(torch::serialize::InputArchive& archive) const;

  std::string name_;
  PathLogits logits_;
  PathSpace space_;
  DrawState state_;
  std::vector<ChoiceBlockBase*> blocks_;  // by gate
  std::vector<Armed> armed_;
  bool applied_ = false;
};

}  // namespace gatedpaths
