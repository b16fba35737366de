// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/search/path_metric.hpp>

#include <ATen/core/Tensor.h>

#include <functional>

/// \file
/// Scores of paths that need no training: metrics for `evaluate`, which take
/// one backward each. Higher is better for all of them.
///
/// Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS" (ICLR 2021,
/// arXiv 2101.08134), hold them against each other, and give the definitions
/// that are used here. A sum over parameters is one over the weights of the
/// path that require grad and have two dims or more: over those of convolutions
/// and linear layers, as there, and over others' like them, such as an LSTM's;
/// not over biases and the weights of norms. A path without such a weight has
/// the score 0.
///
/// They are meant for weights as they were initialised, on one batch of data.
/// Of several batches they are means like every metric.
///
/// Meanwhile the network is in eval mode, so that nothing is drawn, but for
/// batch norm: that normalises by the batch's own statistics, since there is
/// none of a network that was not trained. Afterwards all is as it was.
///
/// Example:
/// ```
/// auto scores = gatedpaths::evaluate(
///     net, space, paths, {batch}, gatedpaths::synflow_metric());
/// ```

namespace gatedpaths {

/// A loss of an output and a target: one number.
using PathLoss = std::function<at::Tensor(
    const at::Tensor& output, const at::Tensor& target)>;

/// The sum of the Euclidean norms of the loss's gradients, of one norm for each
/// weight (Abdelfattah et al., section 3.2, "grad_norm"). The loss is
/// `torch::nn::functional::cross_entropy` unless another is given.
///
/// Throws, in `evaluate`: `c10::ValueError` where no weight of the network
/// requires grad.
GATEDPATHS_EXPORT PathMetric gradient_norm_metric(PathLoss loss = {});

/// The sum of |w * dL/dw|: how much the loss changes where weights are pruned
/// (Lee et al., "SNIP", ICLR 2019, arXiv 1810.02340; summed as by Abdelfattah
/// et al.). The loss is cross entropy unless another is given.
///
/// Throws, in `evaluate`: `c10::ValueError` where no weight of the network
/// requires grad.
GATEDPATHS_EXPORT PathMetric snip_metric(PathLoss loss = {});

/// The sum of |w * dR/dw|, where R is the sum of the output for an input of
/// ones and all weights and biases have their absolute values (Tanaka et al.,
/// "Pruning neural networks without any data by iteratively conserving synaptic
/// flow", NeurIPS 2020, arXiv 2006.05467; summed as by Abdelfattah et al.).
///
/// Of the batch only the sizes of one sample matter. Batch norm is left out: it
/// passes on what it gets. All is computed in double; meanwhile the network's
/// parameters and buffers are other tensors in the same places, of twice the
/// memory of a network in float.
///
/// Throws, in `evaluate`: `c10::ValueError` where no weight of the network
/// requires grad.
GATEDPATHS_EXPORT PathMetric synflow_metric();

/// How unlike the samples' Jacobians are: -sum(log(v + k) + 1 / (v + k)), k =
/// 1e-5, over the eigenvalues v of the correlation matrix of d(sum of
/// outputs)/d(input), a row a sample (Mellor et al., "Neural Architecture
/// Search without Training", arXiv 2006.04647v1; the version at ICML 2021 has
/// another score; as "jacob_cov" by Abdelfattah et al.).
///
/// Throws, in `evaluate`: `c10::ValueError` for a batch of one sample, or whose
/// data is not of a floating dtype. The score is nan where a sample's Jacobian
/// is constant, as that of a path which does not use its input.
GATEDPATHS_EXPORT PathMetric jacobian_covariance_metric();

}  // namespace gatedpaths
