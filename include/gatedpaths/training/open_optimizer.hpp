// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/network_ref.hpp>
#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/slots/slot_consumer.hpp>

#include <torch/nn/module.h>
#include <torch/optim/optimizer.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace gatedpaths {

/// The bookkeeping of a training step in time of what is open: applies a path,
/// clears gradients and steps an optimizer, and looks only at the parameters
/// that are open now or were since the last clearing but one.
///
/// An optimizer's own `zero_grad()` and `step()`, and `Module::parameters()`,
/// walk over every parameter of the network, closed or not. Optimizers keep
/// their state for each parameter, so a step can be given the open ones alone:
/// for the time of the step each parameter group holds just those. The result
/// is bit for bit that of the optimizer's own step, since closed parameters
/// have no gradient and are skipped there.
///
/// Works for every optimizer that treats each parameter by itself, LibTorch's
/// or yours; nested gates; parameters shared between branches; several
/// parameter groups; clipping (`parameters()`); and accumulation over several
/// paths before one step, whose gradients are all kept. Parameters of the
/// optimizer that are not in the network are always stepped.
///
/// As with an optimizer, gradients may be cleared before a forward, or between
/// it and its backward.
///
/// Apply paths through this object: it has to see each one. Where modules draw
/// by themselves, or gates are given for each sample, call `remember()` after
/// each forward that another one follows before the next `step()`.
///
/// It keeps the network alive, but for one on the stack, which has to outlive
/// it, and refers to the optimizer.
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

  /// Applies `path`, as `PathSpace::apply` does; what was open before is still
  /// cleared and stepped.
  void apply(const Path& path);

  /// Makes the gradients of `parameters()` undefined.
  void zero_grad();

  /// The parameters that may have a gradient: of what is open now, of what was
  /// since the last `zero_grad()` but one, and of what stands outside of every
  /// gate. They are in the network's order.
  std::vector<torch::Tensor> parameters();

  /// One step of the optimizer on these parameters. A closure is run once,
  /// before the step; its loss is returned.
  ///
  /// Throws: `c10::Error` where the optimizer was given groups or parameters
  /// since this object was made; nothing is stepped then.
  torch::Tensor step(torch::optim::Optimizer::LossClosure closure = nullptr);

  /// Remembers what is open now, or ran in the last forward, as `apply` does
  /// of what was.
  void remember();

 private:
  struct Entry {
    torch::Tensor parameter;
    size_t number;  // the same for the same parameter
    int64_t group;  // of the optimizer; -1 for none
  };
  // When a unit was used last. What was used before the last zero_grad() is
  // kept for one more round: its backward may come after it.
  enum class Used { kLongAgo, kLastRound, kThisRound };
  // The parameters that are open together: of one branch, or one slot.
  struct Unit {
    std::vector<Entry> entries;
    Used used = Used::kLongAgo;
  };
  struct Consumer {
    SlotConsumer* layer;
    size_t first_unit;
  };
  class Builder;

  void use(size_t unit);
  void check_groups() const;

  template <class Visit>
  void for_each_used(Visit visit);

  /// What may have a gradient, in the network's order.
  std::vector<const Entry*> used_entries();

  std::shared_ptr<torch::nn::Module> root_;
  PathSpace space_;      // of what is applied
  PathSpace all_gates_;  // those too that draw by themselves
  torch::optim::Optimizer& optimizer_;
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
