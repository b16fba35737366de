// SPDX-License-Identifier: MIT
#include <gatedpaths/learning/path_losses.hpp>

#include "../text/tensor_text.hpp"

#include <ATen/ops/log_sigmoid.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <cmath>
#include <cstdint>

namespace gatedpaths {
namespace {

at::Tensor beside(const at::Tensor& tensor, c10::ArrayRef<double> values) {
  return at::tensor(values, at::kDouble)
      .to(tensor.device(), tensor.scalar_type());
}

// The entropy of one gate's setting.
at::Tensor setting_entropy(const PathLogitsImpl& logits, int64_t gate) {
  const at::Tensor& values = logits.logits(gate);
  if (logits.one_of(gate)) {
    const at::Tensor log = at::log_softmax(values, 0);
    return -(log.exp() * log).sum();
  }
  const at::Tensor open = at::log_sigmoid(values);
  const at::Tensor closed = at::log_sigmoid(-values);
  return -(open.exp() * open + closed.exp() * closed).sum();
}

void check_costs(
    const SpaceLayout& layout, const std::vector<std::vector<double>>& costs) {
  TORCH_CHECK_VALUE(
      static_cast<int64_t>(costs.size()) == layout.num_gates(),
      fmt::format(
          "expected_cost: expected costs for {} gates, got {}",
          layout.num_gates(),
          costs.size()));
  for (size_t i = 0; i < costs.size(); ++i) {
    const GateLayout& gate = layout.gates()[i];
    TORCH_CHECK_VALUE(
        costs[i].size() == gate.branch_names.size(),
        fmt::format(
            "expected_cost: expected {} costs for gate '{}', got {}",
            gate.branch_names.size(),
            gate.name,
            costs[i].size()));
    for (size_t k = 0; k < costs[i].size(); ++k) {
      TORCH_CHECK_VALUE(
          std::isfinite(costs[i][k]),
          fmt::format(
              "expected_cost: expected finite costs, got {} for branch {} "
              "('{}') of gate '{}'",
              costs[i][k],
              k,
              gate.branch_names[k],
              gate.name));
    }
  }
}

}  // namespace

at::Tensor target_rate_loss(
    const at::Tensor& open, c10::ArrayRef<double> targets) {
  TORCH_CHECK_VALUE(
      open.defined() && open.is_floating_point() &&
          (open.dim() == 1 || open.dim() == 2) && open.numel() > 0,
      fmt::format(
          "target_rate_loss: expected floating point [batch, gates] or "
          "[gates], got {}",
          detail::tensor_text(open)));
  const int64_t gates = open.size(-1);
  TORCH_CHECK_VALUE(
      targets.size() == 1 || static_cast<int64_t>(targets.size()) == gates,
      fmt::format(
          "target_rate_loss: expected 1 target, or 1 for each of {} gates, got "
          "{}",
          gates,
          targets.size()));
  for (const double target : targets) {
    TORCH_CHECK_VALUE(
        0 <= target && target <= 1,
        fmt::format(
            "target_rate_loss: expected targets in [0, 1], got {}", target));
  }
  const at::Tensor rates = open.dim() == 2 ? open.mean(0) : open;
  return (rates - beside(open, targets)).square().sum();
}

at::Tensor expected_cost(
    const PathLogitsImpl& logits,
    const std::vector<std::vector<double>>& costs) {
  check_costs(logits.layout(), costs);
  const auto reached = logits.reach_probabilities();
  at::Tensor sum = at::zeros({}, logits.logits(0).options());
  for (size_t i = 0; i < costs.size(); ++i) {
    const at::Tensor open = logits.probabilities(static_cast<int64_t>(i));
    sum = sum + reached[i] * (open * beside(open, costs[i])).sum();
  }
  return sum;
}

at::Tensor load_balance_loss(
    const at::Tensor& probabilities, const at::Tensor& open) {
  TORCH_CHECK_VALUE(
      probabilities.defined() && probabilities.is_floating_point() &&
          probabilities.dim() == 2 && probabilities.numel() > 0,
      fmt::format(
          "load_balance_loss: expected floating point probabilities [batch, "
          "branches], got {}",
          detail::tensor_text(probabilities)));
  TORCH_CHECK_VALUE(
      open.defined() && open.scalar_type() == at::kBool &&
          open.sizes() == probabilities.sizes(),
      fmt::format(
          "load_balance_loss: expected open branches {} Bool, got {}",
          detail::sizes_text(probabilities.sizes()),
          detail::tensor_text(open)));
  const at::Tensor shares = open.to(probabilities.scalar_type()).mean(0);
  return (shares * probabilities.mean(0)).sum() *
         static_cast<double>(probabilities.size(1));
}

at::Tensor path_entropy(const PathLogitsImpl& logits) {
  const auto reached = logits.reach_probabilities();
  at::Tensor sum = at::zeros({}, logits.logits(0).options());
  for (size_t i = 0; i < reached.size(); ++i) {
    sum = sum + reached[i] * setting_entropy(logits, static_cast<int64_t>(i));
  }
  return sum;
}

}  // namespace gatedpaths
