// SPDX-License-Identifier: MIT
#include <gatedpaths/search/zero_cost.hpp>

#include "../text/tensor_text.hpp"
#include "batch_norm_modes.hpp"
#include "linear_flow.hpp"

#include <ATen/ops/corrcoef.h>
#include <ATen/ops/linalg_eigvalsh.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/functional/loss.h>

#include <fmt/format.h>

#include <cmath>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace gatedpaths {
namespace {

PathLoss loss_or_cross_entropy(PathLoss loss) {
  if (loss) {
    return loss;
  }
  return [](const at::Tensor& output, const at::Tensor& target) {
    return torch::nn::functional::cross_entropy(output, target);
  };
}

std::vector<at::Tensor> scored_weights(
    std::string_view metric, const torch::nn::Module& net) {
  std::vector<at::Tensor> weights;
  std::unordered_set<const void*> seen;
  for (const auto& parameter : net.parameters()) {
    if (parameter.defined() && parameter.requires_grad() &&
        parameter.dim() >= 2 &&
        seen.insert(parameter.unsafeGetTensorImpl()).second) {
      weights.push_back(parameter);
    }
  }
  TORCH_CHECK_VALUE(
      !weights.empty(),
      fmt::format(
          "{}: expected a network with weights of two dims or more that "
          "require grad, got none",
          metric));
  return weights;
}

// The sum of what `score` makes of each weight of the path and its gradient.
template <class Score>
at::Tensor sum_of_scores(
    const std::vector<at::Tensor>& weights,
    const at::Tensor& root,
    const Score& score) {
  auto sum = at::scalar_tensor(0, root.options().dtype(at::kDouble));
  if (!root.requires_grad()) {
    return sum;
  }
  const auto gradients = torch::autograd::grad(
      {root},
      weights,
      /*grad_outputs=*/{},
      /*retain_graph=*/std::nullopt,
      /*create_graph=*/false,
      /*allow_unused=*/true);
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (gradients[i].defined()) {
      sum += score(weights[i].detach(), gradients[i]);
    }
  }
  return sum;
}

// Of the sum of outputs; zeros where a path does not use its input.
at::Tensor input_gradients(const at::Tensor& output, const at::Tensor& input) {
  at::Tensor gradients;
  if (output.requires_grad()) {
    gradients = torch::autograd::grad(
                    {output.sum()},
                    {input},
                    /*grad_outputs=*/{},
                    /*retain_graph=*/std::nullopt,
                    /*create_graph=*/false,
                    /*allow_unused=*/true)
                    .front();
  }
  return gradients.defined() ? gradients : at::zeros_like(input);
}

at::Tensor jacobian_score(const PathRun& run) {
  const at::Tensor& data = run.batch.data;
  TORCH_CHECK_VALUE(
      data.is_floating_point() && data.size(0) > 1,
      fmt::format(
          "jacobian_covariance_metric: expected batches of a floating dtype "
          "and two samples or more, got {}",
          detail::tensor_text(data)));
  constexpr double kShift = 1e-5;
  const auto input = data.detach().clone().requires_grad_();
  const auto correlations = at::corrcoef(
      input_gradients(run.forward(input), input).flatten(1).to(at::kDouble));
  if (correlations.isnan().any().item<bool>()) {  // no input of a solver
    return at::scalar_tensor(std::nan(""), correlations.options());
  }
  const auto values = at::linalg_eigvalsh(correlations) + kShift;
  return -(values.log() + values.reciprocal()).sum();
}

}  // namespace

PathMetric gradient_norm_metric(PathLoss loss) {
  return PathMetric(
             "gradient_norm",
             [loss =
                  loss_or_cross_entropy(std::move(loss))](const PathRun& run) {
               const auto weights =
                   scored_weights("gradient_norm_metric", run.net);
               return sum_of_scores(
                   weights,
                   loss(run.forward(run.batch.data), run.batch.target),
                   [](const at::Tensor&, const at::Tensor& gradient) {
                     return gradient.norm();
                   });
             })
      .mode(detail::norms_by_batch);
}

PathMetric snip_metric(PathLoss loss) {
  return PathMetric(
             "snip",
             [loss =
                  loss_or_cross_entropy(std::move(loss))](const PathRun& run) {
               const auto weights = scored_weights("snip_metric", run.net);
               return sum_of_scores(
                   weights,
                   loss(run.forward(run.batch.data), run.batch.target),
                   [](const at::Tensor& weight, const at::Tensor& gradient) {
                     return (weight * gradient).abs().sum();
                   });
             })
      .mode(detail::norms_by_batch);
}

PathMetric synflow_metric() {
  return PathMetric(
             "synflow",
             [](const PathRun& run) {
               const auto weights = scored_weights("synflow_metric", run.net);
               auto sizes = run.batch.data.sizes().vec();
               sizes.front() = 1;
               const auto ones =
                   at::ones(sizes, run.batch.data.options().dtype(at::kDouble));
               return sum_of_scores(
                   weights,
                   run.forward(ones).sum(),
                   [](const at::Tensor& weight, const at::Tensor& gradient) {
                     return (weight * gradient).abs().sum();
                   });
             })
      .mode(detail::linear_flow);
}

PathMetric jacobian_covariance_metric() {
  return PathMetric("jacobian_covariance", jacobian_score)
      .mode(detail::norms_by_batch);
}

}  // namespace gatedpaths
