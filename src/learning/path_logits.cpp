// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/stream_seed.hpp>
#include <gatedpaths/learning/path_logits.hpp>

#include "../random/counter_random.hpp"
#include "../random/gumbel_noise.hpp"
#include "../text/archive_name.hpp"
#include "../text/text.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/log_sigmoid.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace gatedpaths {
namespace {

bool is_one_of(const GateLayout& gate) {
  return gate.min_open == 1 && gate.max_open == 1;
}

std::string parameter_name(std::string_view gate) {
  std::string name;
  for (const char c : gate) {
    switch (c) {
      case '.':
        name += '/';
        break;
      case '/':
        name += "%2F";
        break;
      case '%':
        name += "%25";
        break;
      default:
        name += c;
    }
  }
  return name;
}

void check_gates(const SpaceLayout& layout) {
  TORCH_CHECK_VALUE(
      layout.num_gates() > 0,
      "PathLogits: expected a space with a gate, got one without");
  for (const GateLayout& gate : layout.gates()) {
    const auto branches = static_cast<int64_t>(gate.branch_names.size());
    TORCH_CHECK_VALUE(
        is_one_of(gate) || (gate.min_open == 0 && gate.max_open == branches),
        fmt::format(
            "PathLogits: expected gates with 1 open branch, or with any number "
            "open, got gate '{}' with {} to {} of {} branches open",
            gate.name,
            gate.min_open,
            gate.max_open,
            branches));
    const std::string name = parameter_name(gate.name);
    const std::string_view reason = detail::why_not_loadable(name);
    TORCH_CHECK_VALUE(
        reason.empty(),
        fmt::format(
            "PathLogits: expected gate names that a checkpoint can hold, got "
            "'{}': {}",
            gate.name,
            reason));
  }
}

std::vector<double> numbers_of(const torch::Tensor& tensor) {
  const auto values = tensor.detach().to(at::kCPU, at::kDouble).contiguous();
  const auto* first = values.const_data_ptr<double>();
  return {first, first + values.numel()};
}

}  // namespace

PathLogitsImpl::PathLogitsImpl(std::shared_ptr<const SpaceLayout> layout)
    : layout_(std::move(layout)) {
  TORCH_CHECK_VALUE(
      layout_ != nullptr, "PathLogits: expected a space, got a null pointer");
  check_gates(*layout_);
  for (const GateLayout& gate : layout_->gates()) {
    const auto branches = static_cast<int64_t>(gate.branch_names.size());
    logits_.push_back(
        register_parameter(parameter_name(gate.name), at::zeros({branches})));
    watch(static_cast<int64_t>(logits_.size()) - 1);
  }
}

bool PathLogitsImpl::one_of(int64_t gate) const {
  return is_one_of(layout_->gate(gate));
}

const torch::Tensor& PathLogitsImpl::logits(int64_t gate) const {
  layout_->gate(gate);  // throws where there is none
  return logits_[static_cast<size_t>(gate)];
}

const torch::Tensor& PathLogitsImpl::logits(std::string_view gate) const {
  return logits(layout_->gate_index(gate));
}

torch::Tensor PathLogitsImpl::probabilities(int64_t gate) const {
  return one_of(gate) ? at::softmax(logits(gate), 0)
                      : at::sigmoid(logits(gate));
}

torch::Tensor PathLogitsImpl::probabilities(std::string_view gate) const {
  return probabilities(layout_->gate_index(gate));
}

torch::Tensor PathLogitsImpl::log_probability(const Path& path) const {
  layout_->check_path("log_probability", path);
  torch::Tensor sum = at::zeros({}, logits_.front().options());
  for (const auto& [gate, open] : path) {
    const torch::Tensor& logits = logits_[static_cast<size_t>(gate)];
    if (one_of(gate)) {
      sum = sum + at::log_softmax(logits, 0).select(0, open.front());
      continue;
    }
    // log(1 - sigmoid(x)) = log(sigmoid(-x)), without cancellation.
    std::vector<float> signs(static_cast<size_t>(logits.numel()), -1.0F);
    for (const int64_t branch : open) {
      signs[static_cast<size_t>(branch)] = 1;
    }
    const auto sign = at::tensor(signs).to(logits.device(), logits.dtype());
    sum = sum + at::log_sigmoid(logits * sign).sum();
  }
  return sum;
}

std::vector<torch::Tensor> PathLogitsImpl::reach_probabilities() const {
  std::vector<torch::Tensor> reached;
  std::vector<torch::Tensor> open;
  for (int64_t number = 0; number < layout_->num_gates(); ++number) {
    const GateLayout& gate = layout_->gate(number);
    if (gate.places.empty()) {
      reached.push_back(at::ones({}, logits_.front().options()));
    } else {
      const int64_t around = gate.places.front().gate;
      TORCH_CHECK_VALUE(
          gate.places.size() == 1 ||
              (gate.places.back().gate == around && one_of(around)),
          fmt::format(
              "PathLogits::reach_probabilities: expected gates in one place, "
              "or in branches of one gate with 1 open branch, got gate '{}' in "
              "{} places",
              gate.name,
              gate.places.size()));
      torch::Tensor any;
      for (const GatePlace& place : gate.places) {
        const auto one =
            open[static_cast<size_t>(around)].select(0, place.branch);
        any = any.defined() ? any + one : one;
      }
      reached.push_back(reached[static_cast<size_t>(around)] * any);
    }
    open.push_back(probabilities(number));
  }
  return reached;
}

Path PathLogitsImpl::most_probable() const {
  const auto values = this->values();
  return layout_->make_path([&](int64_t gate, std::vector<int64_t>& open) {
    const auto& of_gate = values[static_cast<size_t>(gate)];
    if (one_of(gate)) {
      const auto largest = std::max_element(of_gate.begin(), of_gate.end());
      open.push_back(largest - of_gate.begin());
      return;
    }
    for (size_t i = 0; i < of_gate.size(); ++i) {
      if (of_gate[i] > 0) {
        open.push_back(static_cast<int64_t>(i));
      }
    }
  });
}

Path PathLogitsImpl::draw(uint64_t seed, uint64_t step) const {
  const auto values = this->values();
  const uint64_t stream = stream_seed(seed, "PathLogits");
  return layout_->make_path([&](int64_t gate, std::vector<int64_t>& open) {
    const auto& of_gate = values[static_cast<size_t>(gate)];
    detail::CounterRandom random(stream, step, static_cast<uint64_t>(gate));
    if (one_of(gate)) {
      const auto noise = detail::gumbel_noise(random, of_gate.size());
      open.push_back(detail::argmax(of_gate, noise));
      return;
    }
    for (size_t i = 0; i < of_gate.size(); ++i) {
      if (detail::open_uniform(random) < detail::sigmoid(of_gate[i])) {
        open.push_back(static_cast<int64_t>(i));
      }
    }
  });
}

std::vector<std::vector<double>> PathLogitsImpl::values() const {
  const at::NoGradGuard no_grad;
  const std::vector<double> all = numbers_of(at::cat(logits_));
  std::vector<std::vector<double>> values;
  auto next = all.begin();
  for (const GateLayout& gate : layout_->gates()) {
    const auto end =
        next + static_cast<std::ptrdiff_t>(gate.branch_names.size());
    const auto bad =
        std::find_if(next, end, [](double x) { return !std::isfinite(x); });
    TORCH_CHECK(
        bad == end,
        fmt::format(
            "PathLogits: expected finite logits, got {} for branch {} ('{}') "
            "of gate '{}'",
            *bad,
            bad - next,
            gate.branch_names[static_cast<size_t>(bad - next)],
            gate.name));
    values.emplace_back(next, end);
    next = end;
  }
  return values;
}

std::shared_ptr<torch::nn::Module> PathLogitsImpl::clone(
    const std::optional<torch::Device>& device) const {
  const at::NoGradGuard no_grad;
  auto copy = std::make_shared<PathLogitsImpl>(layout_);
  for (size_t i = 0; i < logits_.size(); ++i) {
    torch::Tensor& target = copy->logits_[i];
    target.set_data(
        logits_[i].detach().clone().to(device.value_or(logits_[i].device())));
    target.set_requires_grad(logits_[i].requires_grad());
  }
  copy->train(is_training());
  return copy;
}

void PathLogitsImpl::pretty_print(std::ostream& stream) const {
  int64_t branches = 0;
  for (const torch::Tensor& logits : logits_) {
    branches += logits.numel();
  }
  stream << "gatedpaths::PathLogits(gates=" << logits_.size()
         << ", branches=" << branches << ")";
}

// A hook on the parameter itself, since no way to a gradient leads past it.
void PathLogitsImpl::watch(int64_t gate) {
  logits_[static_cast<size_t>(gate)].register_hook(
      [name = layout_->gate(gate).name](const torch::Tensor& gradient) {
        TORCH_CHECK(
            !gradient.defined() || at::isfinite(gradient).all().item<bool>(),
            fmt::format(
                "PathLogits: expected a finite gradient for gate '{}', got "
                "[{}]; the loss, or what led to it, was not finite",
                name,
                detail::numbers(numbers_of(gradient))));
      });
}

}  // namespace gatedpaths
