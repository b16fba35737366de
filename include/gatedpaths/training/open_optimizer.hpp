// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/network_ref.hpp>
#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/slots/slot_consumer.hpp>

#include <torch/nn/module.h>
#include <torch/optim/optimizer.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace gatedpaths {

namespace detail {
class GradientWatch;
}  // namespace detail

/// The bookkeeping of a training step in time of what is open: applies a path,
/// clears gradients and steps an optimizer, and looks only at the parameters
/// that have a gradient, are open now, or were since the last clearing but one.
///
/// An optimizer's own `zero_grad()` and `step()`, and `Module::parameters()`,
/// walk over every parameter of the network, closed or not. Optimizers keep
/// their state for each parameter, so a step can be given those alone that may
/// have a gradient: for the time of the step each parameter group holds just
/// these, in its order and as often as it does. The result is bit for bit that
/// of the optimizer's own step, since parameters without a gradient are skipped
/// there.
///
/// Hooks on the optimizer's parameters tell where a backward comes to, whatever
/// way it takes: through gates, however often they run in a forward and
/// whichever branches they draw; a closed branch that is called by hand; a
/// penalty on all weights; a second place of a shared module. What reaches
/// closed parameters costs what it reaches, and nothing where nothing does.
///
/// Works for every optimizer that treats each parameter by itself, LibTorch's
/// or yours; nested gates; parameters shared between branches, or given to the
/// optimizer twice, which then steps them twice; several parameter groups;
/// several optimizers, each with its own `OpenOptimizer`; clipping
/// (`parameters()`); and accumulation over several paths before one step, whose
/// gradients are all kept. Parameters of the optimizer that are not in the
/// network are always stepped; those of the network that are not the
/// optimizer's are left alone.
///
/// As with an optimizer, gradients may be cleared before a forward, or between
/// it and its backward.
///
/// Two things nobody tells of: a gradient that is written by hand, by
/// `mutable_grad()`, to parameters that are not open, and a parameter of a
/// group that is replaced by another while it is not open. Call `look_at_all()`
/// after the first, and make a new `OpenOptimizer` after the second.
///
/// It keeps the network alive, but for one on the stack, which has to outlive
/// it, and refers to the optimizer. Its hooks end with it. Gradients may come
/// from several threads at once; its functions are to be called from one.
///
/// Throws, when made: `c10::ValueError` for an empty holder or null pointer, an
/// optimizer that does not treat each parameter by itself (`LBFGS`), or the
/// space of another network, or of a part.
///
/// Example:
/// ```
/// PathSpace space(net);
/// OpenOptimizer steps(net, space, sgd);
/// for (auto& batch : *loader) {
///   steps.apply(sampler.next());
///   steps.zero_grad();
///   loss(net->forward(batch.data), batch.target).backward();
///   torch::nn::utils::clip_grad_norm_(steps.parameters(), 1.0);
///   steps.step();
/// }
/// ```
class GATEDPATHS_EXPORT OpenOptimizer {
 public:
  /// `space` must be that of `root`, by whatever gates it leaves out: what they
  /// draw is cleared and stepped all the same. Throws as said above.
  OpenOptimizer(
      const NetworkRef& root,
      PathSpace space,
      torch::optim::Optimizer& optimizer);
  /// Ends its hooks on the parameters.
  ~OpenOptimizer();
  /// Takes over; the other one may only be destroyed then.
  OpenOptimizer(OpenOptimizer&& other) noexcept;
  OpenOptimizer& operator=(OpenOptimizer&&) = delete;
  OpenOptimizer(const OpenOptimizer&) = delete;
  OpenOptimizer& operator=(const OpenOptimizer&) = delete;

  /// Applies `path`, as `PathSpace::apply` does; what was open before stays
  /// among `parameters()`.
  void apply(const Path& path);

  /// Makes the gradients of the optimizer's parameters undefined, as its own
  /// `zero_grad()` does.
  void zero_grad();

  /// The optimizer's parameters that may have a gradient: those that have one
  /// of a backward; of what is open now, and of what was since the last
  /// `zero_grad()` but one; and what stands outside of every gate. They are in
  /// the order of the optimizer's groups, and as often as they stand there, so
  /// that clipping them is clipping all that the optimizer has. Before a
  /// backward it knows of a gate that runs several times in one forward only
  /// what the last run opened.
  std::vector<torch::Tensor> parameters();

  /// One step of the optimizer on these parameters. A closure is run once,
  /// before the step; its loss is returned.
  ///
  /// Throws: `c10::Error` where the optimizer was given groups or parameters
  /// since this object was made, or where one of these parameters was replaced
  /// in its group; nothing is stepped then.
  torch::Tensor step(
      const torch::optim::Optimizer::LossClosure& closure = nullptr);

  /// Remembers what is open now, or ran in the last forward, as `apply` does
  /// of what was: for gradients that are written by hand. What a backward
  /// reaches is remembered without it.
  void remember();

  /// Looks at all parameters for gradients, in time of all: for those that were
  /// written by hand to parameters that are not open.
  void look_at_all();

 private:
  // Where the optimizer has a parameter.
  struct Place {
    size_t group;
    size_t index;
    auto operator<=>(const Place&) const = default;
  };
  // By the number of the parameter: the same for the same parameter.
  struct Entry {
    torch::Tensor parameter;
    std::vector<Place> places;
  };
  // When a unit was used last. What was used before the last zero_grad() is
  // kept for one more round: its gradients may be written after it.
  enum class Used { kLongAgo, kLastRound, kThisRound };
  // The parameters that are open together: of one branch, or one slot.
  struct Unit {
    std::vector<size_t> entries;
    std::vector<size_t> consumers;  // layers on slots that run with it
    Used used = Used::kLongAgo;
  };
  struct Consumer {
    SlotConsumer* layer;
    size_t first_unit;
  };
  class Builder;

  void use(size_t unit);
  void check_groups() const;
  void check_kept(const Entry& entry) const;

  /// What may have a gradient: numbers, each once.
  std::vector<size_t> used_entries();
  /// Where they stand, in the optimizer's order.
  std::vector<std::pair<Place, size_t>> used_places();

  std::shared_ptr<torch::nn::Module> root_;
  PathSpace space_;      // of what is applied
  PathSpace all_gates_;  // those too that draw by themselves
  torch::optim::Optimizer& optimizer_;
  std::vector<Entry> entries_;
  std::unique_ptr<detail::GradientWatch> watch_;
  std::vector<Unit> units_;          // 0: outside of every gate
  std::vector<size_t> first_units_;  // of each gate
  std::vector<Consumer> consumers_;
  std::vector<size_t> used_;    // in this round or the last
  std::vector<uint64_t> seen_;  // by number: the last walk that met it
  uint64_t walk_ = 0;
  std::vector<std::vector<torch::Tensor>> open_groups_;
  std::vector<size_t> group_sizes_;
};

}  // namespace gatedpaths
