// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/deep_copy.hpp>
#include <gatedpaths/branches/named_branch.hpp>
#include <gatedpaths/export.hpp>
#include <gatedpaths/gates/branched_module.hpp>
#include <gatedpaths/gates/detail/branch_holder.hpp>

#include <torch/arg.h>
#include <torch/nn/module.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gatedpaths {
namespace detail {

/// Layers of one type without names; they are called "0", "1", ...
template <class M>
std::vector<NamedBranch<>> number_layers(const std::vector<M>& layers) {
  std::vector<NamedBranch<>> numbered;
  numbered.reserve(layers.size());
  for (const auto& layer : layers) {
    numbered.emplace_back(std::to_string(numbered.size()), AnyBranch(layer));
  }
  return numbered;
}

}  // namespace detail

/// Options of `LayerDrop`.
///
/// Example: `LayerDropOptions(0.2).min_layers(2).seed(7)`.
class LayerDropOptions {
 public:
  /// The probability that a layer is dropped, in `[0, 1]`. The paper takes 0.2,
  /// and 0.5 where much is to be pruned.
  LayerDropOptions(double drop_rate)  // NOLINT: as DropoutOptions
      : drop_rate_(drop_rate) {}
  /// The probability that a layer is dropped.
  TORCH_ARG(double, drop_rate);

  /// The fewest layers that stay, drawn or set by hand. Default: 0.
  TORCH_ARG(int64_t, min_layers) = 0;

  /// Names the stream of the draws. Default: one that no other module has, the
  /// same in each run that makes its modules in the same order. See
  /// `seed_draws`.
  TORCH_ARG(std::optional<uint64_t>, seed);
};

/// All of `LayerDropImpl` that does not depend on the type of the layers.
class GATEDPATHS_EXPORT LayerDropBase : public BranchedModule {
 public:
  /// The options that it was made with; a later change has no effect.
  LayerDropOptions options;

  /// Runs the layers that stay, one after the other; see `LayerDrop`.
  torch::Tensor forward(const torch::Tensor& input);

  /// The probability that a layer is dropped: of the options, or set since.
  double drop_rate() const noexcept { return drop_rate_; }

  /// Sets the probability that a layer is dropped, as a schedule does.
  ///
  /// Throws: `c10::ValueError` for one outside `[0, 1]`.
  void set_drop_rate(double value);

  /// Keeps the layers 0, `n`, `2 n`, ... by hand: "every other" for 2, the
  /// pruning that the paper recommends (its authors' code keeps 0, 2, 4, ...).
  ///
  /// Throws: `c10::ValueError` for `n < 1`, or fewer layers than `min_layers`.
  void keep_every(int64_t n);

  /// Keeps the first `count` layers by hand.
  ///
  /// Throws: `c10::ValueError` for a number outside `[min_layers, number of
  /// layers]`.
  void keep_first(int64_t count);

  /// Prints `gatedpaths::LayerDrop(drop_rate=0.2, min_layers=1, open=[0, 2])`.
  void pretty_print(std::ostream& stream) const override;

 protected:
  /// Registers the layers under their names.
  ///
  /// Throws: `c10::ValueError` for no layer, two layers of one name, an empty
  /// or dotted name, an empty holder, a rate outside `[0, 1]`, or `min_layers`
  /// outside `[0, number of layers]`.
  LayerDropBase(
      const LayerDropOptions& drop_options,
      const std::vector<NamedBranch<>>& layers);

 private:
  struct KeptRate;

  std::unique_ptr<detail::KeptState> keep() override;
  bool is_drawn_by_nature() const noexcept override { return true; }
  void draw_layers();

  double drop_rate_;
  std::vector<int64_t> drawn_layers_;  // only its memory is kept
};

/// The module behind `LayerDrop`, which see.
template <class Child>
class LayerDropImpl
    : public detail::DeepCopied<LayerDropImpl<Child>, LayerDropBase> {
 public:
  /// Registers the layers under their names; `c10::ValueError` where they or
  /// the options do not fit, see `LayerDrop`.
  LayerDropImpl(
      const LayerDropOptions& drop_options,
      const std::vector<NamedBranch<>>& layers)
      : LayerDropImpl::DeepCopied(drop_options, layers) {}

  /// Layer `index`: a typed holder where `Child` is one, else an `AnyBranch` or
  /// `shared_ptr`.
  ///
  /// Throws: `c10::IndexError` where there is no such layer.
  auto layer(int64_t index) const {
    return this->template typed_branch<Child>(index);
  }
  /// The layer called `name`.
  ///
  /// Throws: `c10::IndexError`, with all names, where there is no such layer.
  auto layer(std::string_view name) const {
    return layer(this->branch_index(name));
  }
};

/// A stack of layers of which whole layers are dropped at random (Fan, Grave
/// and Joulin, "Reducing Transformer Depth on Demand with Structured Dropout",
/// arXiv 1909.11556), so that a shallower stack can be taken out of it later.
///
/// Training: one decision for the whole list at the start of each forward. Each
/// layer is dropped with probability `drop_rate`, independently; with a floor,
/// the law is that of independent drops given that at least `min_layers` stay
/// (for a rate of 1, its limit: exactly so many, each set as likely). A dropped
/// layer is the identity: it is not called, its gradients stay undefined, its
/// buffers and all random streams untouched; `ran_branches()` tells which ran.
/// Where all are dropped, the result is a copy of the input. Nothing is scaled,
/// as in the paper.
///
/// Eval: nothing is drawn, and the layers last kept by hand run: all at first;
/// `keep_every`, `keep_first` and `set_open` change it. A draw does not change
/// what was kept by hand. A rate of 0 draws nothing either: training then runs
/// what was kept by hand, as after `stop_drawing()`.
///
/// The draws depend on the seed and the number of draws so far alone
/// (`draw_state()`, `set_draw_state()`, `draw_each_forward(seed)`). A clone
/// keeps both, and the rate.
///
/// A `PathSpace` leaves it out as long as it draws, at any rate: its layers are
/// then no choices of a search. One made after `stop_drawing()` takes it, and
/// so does one that is told to, for choosing layers in eval.
///
/// Shape: any input; output the same, since each layer must keep its input's
/// shape.
///
/// Throws, when made: `c10::ValueError` for no layer, two layers of one name,
/// an empty or dotted name, an empty holder, a rate outside `[0, 1]`, or
/// `min_layers` outside `[0, number of layers]`. In `forward`:
/// `c10::ValueError` where a layer returns another shape than its input's, or
/// changes its input in place: with the layers before it dropped, that would be
/// the stack's own.
///
/// Made from named layers, first to last, `(options, {{"a", a()}, ...})` or a
/// `std::vector` of `NamedBranch`; or from `(options, a(), ...)` or a vector of
/// one type, which are then called "0", "1", ..., and give a `LayerDrop<Child>`
/// where all are alike. A layer is a holder, a `shared_ptr`, a module by value
/// or an `AnyBranch`. Also from a `std::shared_ptr<Impl>`; `nullptr` makes an
/// empty holder.
///
/// Example:
/// ```
/// gatedpaths::LayerDrop encoder(
///     gatedpaths::LayerDropOptions(0.2).min_layers(1), layers);
/// auto y = encoder->forward(x);  // about 4 of 5 layers run
/// encoder->keep_every(2);        // half of them, from now on in eval
/// ```
template <class Child = AnyBranch>
class LayerDrop
    : public detail::
          BranchHolder<LayerDropImpl<Child>, LayerDropOptions, Child> {
 public:
  /// The forms above, but for the one that follows.
  using LayerDrop::BranchHolder::BranchHolder;

  /// Layers without names; they are called "0", "1", ...
  template <detail::BranchOf<Child> M>
  LayerDrop(const LayerDropOptions& options, const std::vector<M>& layers)
      : LayerDrop(std::make_shared<LayerDropImpl<Child>>(
            options, detail::number_layers(layers))) {}
};

LayerDrop(std::nullptr_t) -> LayerDrop<>;

template <class Child>
LayerDrop(std::shared_ptr<LayerDropImpl<Child>>) -> LayerDrop<Child>;

template <class Child = AnyBranch>
LayerDrop(const LayerDropOptions&, std::initializer_list<NamedBranch<Child>>)
    -> LayerDrop<Child>;

template <class Child>
LayerDrop(const LayerDropOptions&, const std::vector<NamedBranch<Child>>&)
    -> LayerDrop<Child>;

template <detail::BranchLike M>
LayerDrop(const LayerDropOptions&, const std::vector<M>&)
    -> LayerDrop<detail::CommonChild<M>>;

template <detail::BranchLike... M>
  requires(sizeof...(M) >= 1)
LayerDrop(const LayerDropOptions&, M&&...)
    -> LayerDrop<detail::CommonChild<M...>>;

}  // namespace gatedpaths
