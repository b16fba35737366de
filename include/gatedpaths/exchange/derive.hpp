// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/child.hpp>
#include <gatedpaths/branches/network_ref.hpp>
#include <gatedpaths/exchange/reset_weights.hpp>
#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/path_space.hpp>

#include <torch/arg.h>
#include <torch/nn/module.h>

#include <memory>
#include <utility>

namespace gatedpaths {

/// What the weights of a derived network start from.
enum class DerivedWeights {
  kInherited,  ///< Copies of the supernet's, bit for bit, buffers included.
  kReset,      ///< Fresh ones, see `reset_weights`.
};

/// Options of `derive`.
///
/// Example: `DeriveOptions().weights(DerivedWeights::kReset)`.
class DeriveOptions {
 public:
  /// What the weights start from. Default: the supernet's.
  TORCH_ARG(DerivedWeights, weights) = DerivedWeights::kInherited;

  /// With fresh weights: makes those of modules of your own, see
  /// `reset_weights`. Default: none.
  TORCH_ARG(WeightInitialiser, initialise);
};

namespace detail {

GATEDPATHS_EXPORT std::shared_ptr<torch::nn::Module> derive_module(
    torch::nn::Module& net,
    const PathSpace& space,
    const Path& path,
    const DeriveOptions& options);

}  // namespace detail

/// The network of one path, alone: a deep copy of `net` of which everything
/// that the path closes is gone. It is of the same type, so that it is called,
/// trained, saved and moved as `net` is, and no code of yours has to know:
///
/// - A gate has the open branches only, under their names, all of them open. It
///   costs what these cost; a `ChoiceBlock` of one branch is that branch.
/// - A `ConcatGate` in slot form (`forward_slots`) gives the open slots only,
///   numbered anew, and the layers that take them (`SlotLinear`, `SlotConv2d`,
///   `SlotBatchNorm2d`, ...) keep the weights of these: what `to_dense()` then
///   makes of them is the layer that a net of this path has. In dense form
///   (`forward`) zeros stay where closed slots were, since what stands behind
///   has weights for them. (What these need of a closed branch is its shape; it
///   is no longer a part of the module tree, and holds no weights.)
/// - `parameters()` are those of the path: what is outside of all gates, what
/// is
///   in open branches, and the open slots' weights.
///
/// Eval: the outputs are bit for bit those of `net` with the path applied.
/// Training: likewise, from the same random streams, as long as closed branches
/// leave no trace (`track_statistics` aside).
///
/// Kept: names, training flags, `requires_grad`, dtypes, devices, and what
/// several places share, modules and weights: where the network's `clone()`
/// does not (LibTorch's makes two weights of one that two modules hold), that
/// is an error, and `narrow` the way. A gate that the path does not set (it
/// draws by itself, or the space leaves it out) stays whole, and so do
/// `StochasticDepth` and `LayerDrop`, which go on drawing; of a `LayerDrop`
/// that the space does take, the layers that the path keeps are left, and go on
/// being dropped in training. Other gates do not draw any more. A `GateHead`
/// outside of closed branches stays. Gates for each sample (`forward(x, open)`)
/// have no meaning for a gate that has lost branches: its forward refuses them.
///
/// The first form takes the path of `PathSpace(net)`; the second one that of a
/// space of yours, made of `net` with a `GateFilter`, say.
///
/// A layer on slots does not say whose slots it takes: that is seen when it
/// runs. So run `net` once before, on any path and input, unless it has only
/// one gate with as many branches as the layer has slots.
///
/// Checkpoints of the derived net (`torch::save`, `load_checked`,
/// `slots_to_dense`) load into each net derived for the same path.
///
/// Throws: `c10::ValueError` for an empty holder, a path of another space, a
/// space of another network, a gate whose closed branches have a part in its
/// result (`ClosedValue::kDetached`), a layer on slots of which it is not known
/// whose slots it takes, or that takes those of gates with unlike open
/// branches; with fresh weights also as `reset_weights`. `c10::Error` for a
/// network that has no `clone()` (derive it from `torch::nn::Cloneable`, or
/// make a second one and `narrow` that), or whose copy does not share what it
/// shares, or holds gates outside of its module tree (as members do that refer
/// to what a `ModuleList` holds); `c10::NotImplementedError` for a gate or
/// layer of yours that does not override `drop_branches` or `drop_slots`. `net`
/// is as it was in any case.
///
/// Example:
/// ```
/// gatedpaths::PathSpace space(supernet);
/// auto net = gatedpaths::derive(supernet, space.parse("stem=conv3x3"));
/// net->forward(x);        // as supernet->forward(x) on that path
/// torch::save(net, "net.pt");
/// ```
template <detail::NetworkHandle Net>
detail::ChildHandle<Net> derive(
    const Net& net,
    const PathSpace& space,
    const Path& path,
    const DeriveOptions& options = {}) {
  auto derived = detail::derive_module(
      NetworkRef(net).module("derive"), space, path, options);
  return detail::ChildHandle<Net>(
      std::dynamic_pointer_cast<detail::ChildImpl<Net>>(std::move(derived)));
}
/// \overload
template <detail::NetworkHandle Net>
detail::ChildHandle<Net> derive(
    const Net& net, const Path& path, const DeriveOptions& options = {}) {
  NetworkRef(net).module("derive");  // throws for an empty holder
  return derive(net, PathSpace(net), path, options);
}

/// Does to `net` itself, for good, what `derive` does to a copy: for a network
/// that has no `clone()`.
///
/// Optimizers of `net` have to be made anew. What no longer belongs to it loses
/// its memory.
///
/// Throws: as `derive`; `net` is then as it was, but where a gate or layer of
/// yours throws in `drop_branches` or `drop_slots`.
///
/// Example:
/// ```
/// Net net(options);                    // another one, as the supernet was
/// made gatedpaths::load_checked(net, archive_of_the_supernet);
/// gatedpaths::narrow(net, path);
/// ```
GATEDPATHS_EXPORT void narrow(
    const NetworkRef& net, const PathSpace& space, const Path& path);
/// \overload
GATEDPATHS_EXPORT void narrow(const NetworkRef& net, const Path& path);

}  // namespace gatedpaths
