// SPDX-License-Identifier: MIT
#include <gatedpaths/learning/reinforce_estimator.hpp>

#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include <fmt/format.h>

#include <cmath>
#include <utility>

namespace gatedpaths {
namespace {

// The gradient of log p is (loss - baseline). The loss is no input, so that a
// backward leaves the network alone; it is saved for what is differentiated
// again, whose gradient depends on it.
class WeighByLoss : public torch::autograd::Function<WeighByLoss> {
 public:
  struct Loss {
    const torch::Tensor& tensor;
    double advantage;
  };

  static torch::Tensor forward(
      torch::autograd::AutogradContext* context,
      const torch::Tensor& log_probability,
      const Loss& loss) {
    context->save_for_backward({loss.tensor});
    context->saved_data["advantage"] = loss.advantage;
    return log_probability * loss.advantage;
  }

  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext* context,
      const torch::autograd::variable_list& gradients) {
    const torch::Tensor& gradient = gradients.front();
    const double advantage = context->saved_data["advantage"].toDouble();
    if (!c10::GradMode::is_enabled()) {
      return {gradient * advantage, torch::Tensor()};
    }
    const auto loss = context->get_saved_variables().front().reshape({});
    // Zero in value, or the bits would differ.
    const auto graph = (loss - loss.detach()).to(gradient.options());
    return {gradient * (graph + advantage), torch::Tensor()};
  }
};

}  // namespace

ReinforceEstimator::ReinforceEstimator(
    PathLogits logits,
    PathSpace space,
    uint64_t seed,
    const ReinforceOptions& options)
    : PathEstimator(
          "ReinforceEstimator", std::move(logits), std::move(space), seed),
      decay_(options.decay()) {
  TORCH_CHECK_VALUE(
      0 <= decay_ && decay_ < 1,
      fmt::format(
          "ReinforceEstimator: expected a decay in [0, 1), got {}", decay_));
}

torch::Tensor ReinforceEstimator::objective(const torch::Tensor& loss) {
  PathEstimator::objective(loss);
  TORCH_CHECK(
      applied(),
      "ReinforceEstimator::objective: expected the loss of a path of apply, "
      "got none applied since the last apply_plain or finish_step");
  const auto value = loss.detach().item<double>();
  TORCH_CHECK_VALUE(
      std::isfinite(value),
      fmt::format(
          "ReinforceEstimator::objective: expected a finite loss, got {}",
          value));
  loss_sum_ += value;
  losses_ += 1;
  return WeighByLoss::apply(
      logits()->log_probability(path_),
      WeighByLoss::Loss{loss, value - baseline()});
}

int64_t ReinforceEstimator::branches_run(int64_t gate) const {
  return space().layout()->gate(gate).max_open;
}

PathEstimator::Draw ReinforceEstimator::draw(
    const std::vector<std::vector<double>>& /*values*/, uint64_t step) {
  Draw drawn;
  drawn.path = logits()->draw(stream(), step);
  // Not before: a baseline that knows a loss of the present path is biased.
  baseline_ = next_baseline();
  loss_sum_ = 0;
  losses_ = 0;
  path_ = drawn.path;
  return drawn;
}

std::optional<double> ReinforceEstimator::next_baseline() const {
  if (losses_ == 0) {
    return baseline_;
  }
  const double loss = loss_sum_ / losses_;
  return baseline_ ? decay_ * *baseline_ + (1 - decay_) * loss : loss;
}

// The present path is not saved, so its losses are taken in as by a next draw.
PathEstimator::Numbers ReinforceEstimator::numbers() const {
  const auto baseline = next_baseline();
  return {
      {"decay", decay_},
      {"has_baseline", baseline ? 1 : 0},
      {"baseline", baseline.value_or(0)}};
}

void ReinforceEstimator::check_numbers(const Numbers& saved) const {
  const double decay = saved[0].second;
  const double baseline = saved[2].second;
  TORCH_CHECK_VALUE(
      0 <= decay && decay < 1 && std::isfinite(baseline),
      fmt::format(
          "ReinforceEstimator::load: expected a decay in [0, 1) and a finite "
          "baseline, got {} and {}",
          decay,
          baseline));
}

void ReinforceEstimator::set_numbers(const Numbers& saved) {
  decay_ = saved[0].second;
  baseline_ =
      saved[1].second != 0 ? std::optional(saved[2].second) : std::nullopt;
  loss_sum_ = 0;
  losses_ = 0;
}

}  // namespace gatedpaths
