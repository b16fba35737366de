// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/network_ref.hpp>
#include <gatedpaths/export.hpp>

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace gatedpaths {
namespace detail {

/// While it lives, the norms of a part of a network measure: those on the path
/// that is open are reset and average, all else in the network is in eval mode,
/// and there is no graph. When it ends, statistics that `finish` did not
/// confirm are as they were.
class GATEDPATHS_EXPORT BatchNormMeasurement {
 public:
  /// Throws where `part` is not in `root`.
  BatchNormMeasurement(torch::nn::Module& root, torch::nn::Module& part);
  ~BatchNormMeasurement();
  BatchNormMeasurement(const BatchNormMeasurement&) = delete;
  BatchNormMeasurement& operator=(const BatchNormMeasurement&) = delete;

  /// Throws where `run` has changed modes.
  void add_batch();

  /// Keeps what was measured. Returns by how many norms; throws where the
  /// network has some and none of them ran.
  int64_t finish();

  /// A norm that measured.
  struct Norm {
    const torch::nn::Module* module;
    std::string name;  ///< Dotted.
  };

  /// The same, where only a part of the network ran; returns which norms in it.
  std::vector<Norm> finish_part();

 private:
  struct State;

  std::unique_ptr<State> state_;
  int64_t batches_ = 0;
};

/// A network, given as `NetworkRef` takes it, as what it is.
template <class Net>
auto& typed_network(Net& net) {
  if constexpr (NetworkHandle<Net>) {
    NetworkRef(net).module("recalibrate_batch_norm");  // throws where empty
    return *net;
  } else {
    return net;
  }
}

}  // namespace detail

/// Measures batch norm's statistics anew for the path that is open, by running
/// the network on `batches`, a range of what `run` takes:
/// `run(batch)` is called for each and has to run `root`'s forward once.
/// Returns how many norms were measured. It is what PyTorch's
/// `torch.optim.swa_utils.update_bn` does, for one path, but for
/// `num_batches_tracked`.
///
/// A path that is taken out of a network of many was trained while the norms'
/// running statistics mixed all paths, so they fit none of them (Yu and Huang,
/// arXiv 1903.05134, "post-statistics of batch normalization"): run this after
/// `PathSpace::apply` and before evaluating a path.
///
/// What is measured: every `BatchNorm1d`, `BatchNorm2d` and `BatchNorm3d` with
/// running statistics that the forwards reach, `SlotBatchNorm`'s for the slots
/// that are filled included, except within branches that are closed. A gate's
/// open branches are those that were last applied, by hand or by a `PathSpace`:
/// nothing is drawn. The statistics afterwards are the plain means over the
/// batches of each batch's mean and unbiased variance; every batch counts the
/// same, whatever its size, and an empty one as well: leave it out. Norms in
/// half or bfloat16 are measured in float and rounded at the end.
///
/// During it these norms are in training mode with a cumulative average, and
/// all else is in eval mode, without a graph; the mode that the network was in
/// does not matter. Afterwards modes and momentum are as they were, and so is
/// everything else: weights, the statistics of norms that did not run, and
/// `num_batches_tracked`, which counts what a norm was trained on. (Only a norm
/// without a momentum has the number of measured batches there, which its
/// average goes on from.) On a CUDA device LibTorch's cumulative average
/// synchronises once for each norm and batch.
///
/// `run` should run nothing outside of `root` that is in training mode: this
/// knows nothing of it, so that its norms would be trained. To measure a part
/// of a network, name both: there is an overload for that.
///
/// Throws: `c10::ValueError` for an empty holder or null pointer, for no batch
/// at all, for norms whose statistics cannot be written (an inference tensor,
/// an expanded one), for a `run` that changes the modes of modules below `root`
/// or runs none of its norms, and where an input of a norm was not finite; what
/// `run` and the iteration throw. All statistics are then as they were.
///
/// Example:
/// ```
/// space.apply(path);
/// gatedpaths::recalibrate_batch_norm(
///     net, *loader, [&](auto& batch) { net->forward(batch.data); });
/// ```
template <class Batches, class Run>
int64_t recalibrate_batch_norm(
    const NetworkRef& root, Batches&& batches, Run&& run);

/// The same for a part of a network, say a stage whose paths have changed: only
/// the norms of `part` are measured, and all of `root` beside them is in eval
/// mode. `run(batch)` has to run `root`'s forward once.
///
/// Throws: as above, in words of `part`, and `c10::ValueError` for one that is
/// not `root` nor a module below it.
///
/// Example:
/// ```
/// gatedpaths::recalibrate_batch_norm(
///     net, net->stage2, batches, [&](auto& batch) { net->forward(batch); });
/// ```
template <class Batches, class Run>
int64_t recalibrate_batch_norm(
    const NetworkRef& root,
    const NetworkRef& part,
    Batches&& batches,
    Run&& run);

/// The same for a network whose `forward` takes the range's elements.
///
/// Example:
/// ```
/// std::vector<torch::Tensor> batches = ...;
/// gatedpaths::recalibrate_batch_norm(net, batches);
/// ```
template <class Net, class Batches>
  requires detail::is_module_like<Net>
int64_t recalibrate_batch_norm(Net&& net, Batches&& batches);

// ---- implementation ----

template <class Batches, class Run>
int64_t recalibrate_batch_norm(
    const NetworkRef& root, Batches&& batches, Run&& run) {
  return recalibrate_batch_norm(root, root, batches, run);
}

template <class Batches, class Run>
int64_t recalibrate_batch_norm(
    const NetworkRef& root,
    const NetworkRef& part,
    Batches&& batches,
    Run&& run) {
  detail::BatchNormMeasurement measurement(
      root.module("recalibrate_batch_norm"),
      part.module("recalibrate_batch_norm"));
  for (auto&& batch : batches) {
    run(batch);
    measurement.add_batch();
  }
  return measurement.finish();
}

template <class Net, class Batches>
  requires detail::is_module_like<Net>
int64_t recalibrate_batch_norm(Net&& net, Batches&& batches) {
  auto& module = detail::typed_network(net);
  return recalibrate_batch_norm(
      module, batches, [&](auto& batch) { module.forward(batch); });
}

}  // namespace gatedpaths
