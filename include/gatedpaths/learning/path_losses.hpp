// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/learning/path_logits.hpp>

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>

#include <type_traits>
#include <vector>

namespace gatedpaths {

/// How far gates are from being open as often as wanted, a scalar: the sum over
/// the gates of (mean over the batch - target)^2 (Veit and Belongie,
/// "Convolutional networks with adaptive inference graphs", ECCV 2018, eq. 4).
///
/// `open`: `[batch, gates]` or `[gates]`, floating point, how open each gate is
/// for each sample, in `[0, 1]`; its values are not looked at. `target`: in
/// `[0, 1]`, one for all gates or one a gate.
///
/// Throws: `c10::ValueError` for another shape or dtype, an empty batch, or
/// targets of another number or outside of `[0, 1]`.
///
/// Example: `target_rate_loss(logits->probabilities("gate"), 0.5)`.
GATEDPATHS_EXPORT at::Tensor target_rate_loss(
    const at::Tensor& open, c10::ArrayRef<double> targets);
/// \overload
template <class Target>
  requires std::is_arithmetic_v<Target>  // so that `{}` is a list without any
at::Tensor target_rate_loss(const at::Tensor& open, Target target) {
  const auto single = static_cast<double>(target);
  return target_rate_loss(open, c10::ArrayRef<double>(single));
}

/// The cost that a path drawn from the logits has in the mean, a scalar: the
/// sum over gates and branches of the probability that the branch is open times
/// its cost (Cai et al., "ProxylessNAS", arXiv:1812.00332, eq. 8). A gate
/// inside a branch counts as often as it is reached.
///
/// `costs`: by gate and branch, in any unit (milliseconds, multiplications,
/// parameters); negative ones are taken as they are.
///
/// Throws: `c10::ValueError` for another number of gates or branches, a cost
/// that is not finite, or a gate in several places whose probability to be
/// reached is no product (see `PathLogitsImpl::reach_probabilities`).
///
/// Example:
/// ```
/// auto loss = task_loss + 0.1 * expected_cost(*logits, {{3.1, 5.2, 0}});
/// ```
GATEDPATHS_EXPORT at::Tensor expected_cost(
    const PathLogitsImpl& logits,
    const std::vector<std::vector<double>>& costs);

/// How unevenly samples are spread over branches, a scalar: N times the sum
/// over the N branches of f_k * P_k, where f_k is the share of samples for
/// which branch k is open and P_k the mean of its probability (Fedus et al.,
/// "Switch Transformers", arXiv:2101.03961, eq. 4). With one open branch a
/// sample, 1 where all is even and N where all samples take one branch.
/// Gradients go through the probabilities alone.
///
/// `probabilities`: `[batch, branches]`, floating point. `open`: the same
/// sizes, bool.
///
/// Throws: `c10::ValueError` for other shapes or dtypes, or an empty batch.
///
/// Example: `load_balance_loss(router.softmax(1), choice)`.
GATEDPATHS_EXPORT at::Tensor load_balance_loss(
    const at::Tensor& probabilities, const at::Tensor& open);

/// The entropy of the path that is drawn from the logits, a scalar, in nats:
/// the sum over the gates of the probability that the gate is reached times the
/// entropy of its setting. The logarithm of the number of paths where all are
/// equally likely, 0 where one is certain. Subtract it to keep exploring, add
/// it to decide.
///
/// Throws: `c10::ValueError` for a gate in several places whose probability to
/// be reached is no product (see `PathLogitsImpl::reach_probabilities`).
///
/// Example: `auto loss = task_loss - 0.01 * path_entropy(*logits);`
GATEDPATHS_EXPORT at::Tensor path_entropy(const PathLogitsImpl& logits);

}  // namespace gatedpaths
