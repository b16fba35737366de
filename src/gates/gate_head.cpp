// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/gate_head.hpp>

#include <gatedpaths/branches/detail/clone_module.hpp>
#include <gatedpaths/branches/detail/own_streams.hpp>

#include "../branches/along_dim.hpp"
#include "../branches/host_memory.hpp"
#include "../random/fresh_seed.hpp"
#include "next_draw.hpp"

#include <ATen/ops/isfinite.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <ostream>
#include <string>
#include <utility>

namespace gatedpaths {
namespace {

// Not by a product: a NaN in another row must not come through.
at::Tensor only_rows(const at::Tensor& rows, const at::Tensor& chosen) {
  return at::where(
      detail::along_dim(chosen, 0, rows.dim()), rows, at::zeros_like(rows));
}

at::Tensor sum_of_each_row(const at::Tensor& rows) {
  return rows.dim() == 1 ? rows : rows.flatten(1).sum(1);
}

class WeighRows : public torch::autograd::Function<WeighRows> {
 public:
  static at::Tensor forward(
      torch::autograd::AutogradContext* context,
      const at::Tensor& output,
      const at::Tensor& open,
      const at::Tensor& kept,
      const at::Tensor& weight) {
    context->set_materialize_grads(false);
    context->save_for_backward({output, open, kept, weight});
    return only_rows(output, kept);
  }

  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext* context,
      const torch::autograd::variable_list& gradients) {
    const auto& gradient = gradients.front();
    torch::autograd::variable_list result(4);
    if (!gradient.defined()) {
      return result;
    }
    const auto saved = context->get_saved_variables();
    const auto& kept = saved[2];
    const auto& weight = saved[3];
    if (context->needs_input_grad(0)) {
      // A weight all the same to what is differentiated again.
      result[0] = c10::GradMode::is_enabled()
                      ? WeighRows::apply(gradient, saved[1], kept, weight)
                      : only_rows(gradient, kept);
    }
    if (context->needs_input_grad(3)) {
      const auto dtype = weight.scalar_type();
      result[3] =
          of_weight(gradient.to(dtype) * saved[0].to(dtype), saved[1], kept);
    }
    return result;
  }

 private:
  static at::Tensor of_weight(
      const at::Tensor& products,
      const at::Tensor& open,
      const at::Tensor& kept) {
    const auto sums = sum_of_each_row(products);
    return only_rows(
        sums, kept.logical_or(open.logical_not().logical_and(sums.isfinite())));
  }
};

}  // namespace

namespace detail {

at::Tensor weigh_rows(
    const at::Tensor& output,
    const at::Tensor& open,
    const at::Tensor& kept,
    const at::Tensor& weight) {
  TORCH_CHECK_VALUE(
      output.dim() > 0 && output.size(0) == open.size(0),
      "GateDecision::run: expected an output with one row for each of the ",
      open.size(0),
      " samples, got ",
      output.sizes());
  return WeighRows::apply(output, open, kept, weight);
}

}  // namespace detail

GateDecision GateDecision::gate(int64_t index) const {
  const int64_t gates = open.dim() == 1 ? 1 : open.size(1);
  TORCH_CHECK_INDEX(
      index >= 0 && index < gates,
      "GateDecision::gate: expected a gate in [0, ",
      gates,
      "), got ",
      index);
  if (open.dim() == 1) {
    return *this;
  }
  GateDecision one;
  one.open = open.select(1, index);
  one.weight = weight.select(1, index);
  one.probability = probability.select(1, index);
  one.training = training;
  return one;
}

void GateDecision::check_single() const {
  TORCH_CHECK_VALUE(
      open.dim() == 1,
      "GateDecision::run: expected a decision on one gate, got one of ",
      open.sizes(),
      "; take one by gate(index)");
}

GateHeadImpl::GateHeadImpl(GateHeadOptions gate_options)
    : options(gate_options) {
  draw_state_.seed = options.seed() ? *options.seed() : detail::fresh_seed();
  GateHeadImpl::reset();
}

void GateHeadImpl::reset() {
  check_options();
  reduce = register_module(
      "reduce", torch::nn::Linear(options.channels(), options.hidden()));
  decide = register_module(
      "decide", torch::nn::Linear(options.hidden(), options.gates()));
}

GateDecision GateHeadImpl::forward(const torch::Tensor& features) {
  check_options();
  TORCH_CHECK_VALUE(
      features.dim() >= 2 && features.size(1) == options.channels(),
      "GateHead::forward: expected features of [N, ",
      options.channels(),
      ", ...], got ",
      features.sizes());
  const auto pooled =
      features.dim() == 2 ? features : features.flatten(2).mean(2);
  // Before the layers, whose backwards multiply by what they were given.
  const auto finite = pooled.isfinite().all(1);
  auto logits =
      decide->forward(reduce->forward(only_rows(pooled, finite)).relu());
  // Autocast's short dtypes are too coarse for probabilities.
  logits = logits.scalar_type() == at::kDouble ? logits : logits.to(at::kFloat);
  logits = logits.masked_fill(
      finite.logical_not().unsqueeze(1),
      -std::numeric_limits<double>::infinity());
  logits = options.gates() == 1 ? logits.squeeze(1) : logits;

  GateDecision decision;
  decision.training = is_training();
  decision.probability = logits.sigmoid();
  if (!is_training()) {
    decision.open = decision.probability > options.threshold();
    decision.weight = decision.open.to(logits.scalar_type());
    return decision;
  }
  const auto noisy = logits + logistic_noise(logits);
  decision.open = noisy > 0;
  const auto soft = at::sigmoid(noisy / options.temperature());
  // The difference is exactly zero.
  decision.weight =
      decision.open.to(logits.scalar_type()) + (soft - soft.detach());
  return decision;
}

std::shared_ptr<torch::nn::Module> GateHeadImpl::clone(
    const std::optional<torch::Device>& device) const {
  const detail::OwnStreams streams;
  auto copy = Cloneable::clone(device);
  detail::copy_requires_grad(*this, *copy);
  return copy;
}

void GateHeadImpl::pretty_print(std::ostream& stream) const {
  stream << fmt::format(
      "gatedpaths::GateHead(channels={}, gates={}, hidden={}, "
      "temperature={}, threshold={}{})",
      options.channels(),
      options.gates(),
      options.hidden(),
      options.temperature(),
      options.threshold(),
      options.seed() ? fmt::format(", seed={}", *options.seed())
                     : std::string());
}

struct GateHeadImpl::KeptDraws : detail::KeptState {
  explicit KeptDraws(GateHeadImpl& owner)
      : gate(owner), state(owner.draw_state_) {}

  ~KeptDraws() override { gate.draw_state_ = state; }

  GateHeadImpl& gate;
  DrawState state;
};

std::unique_ptr<detail::KeptState> GateHeadImpl::keep() {
  return std::make_unique<KeptDraws>(*this);
}

void GateHeadImpl::check_options() const {
  const auto check_size = [](const char* name, int64_t size) {
    TORCH_CHECK_VALUE(
        size >= 1, "GateHead: expected ", name, " of at least 1, got ", size);
  };
  check_size("channels", options.channels());
  check_size("gates", options.gates());
  check_size("hidden", options.hidden());
  TORCH_CHECK_VALUE(
      options.temperature() > 0 && std::isfinite(options.temperature()),
      "GateHead: expected a temperature above 0, got ",
      options.temperature());
  TORCH_CHECK_VALUE(
      options.threshold() >= 0 && options.threshold() <= 1,
      "GateHead: expected a threshold in [0, 1], got ",
      options.threshold());
}

torch::Tensor GateHeadImpl::logistic_noise(const torch::Tensor& logits) {
  auto random = detail::next_draw(draw_state_, "GateHead");
  const auto noise =
      detail::host_memory(logits.sizes(), at::kDouble, logits.device());
  auto* values = noise.mutable_data_ptr<double>();
  for (int64_t i = 0; i < noise.numel(); ++i) {
    const double u = std::max(random.uniform(), 0x1p-54);  // zero has no log
    values[i] = std::log(u) - std::log1p(-u);
  }
  return detail::send(noise, logits.device(), logits.scalar_type());
}

}  // namespace gatedpaths
