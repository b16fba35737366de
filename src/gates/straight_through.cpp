// SPDX-License-Identifier: MIT
#include "straight_through.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/as_strided.h>
#include <ATen/ops/dot.h>
#include <ATen/ops/stack.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

namespace gatedpaths::detail {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor wide(const at::Tensor& tensor) {
  const auto dtype = tensor.scalar_type();
  return dtype == at::kBFloat16 || dtype == at::kHalf ? tensor.to(at::kFloat)
                                                      : tensor;
}

// The sum of all products. Where both lie alike in memory, without a tensor of
// products: allocating one costs more than the sum.
at::Tensor inner_product(const at::Tensor& a, const at::Tensor& b) {
  if (a.strides() == b.strides() && a.is_non_overlapping_and_dense()) {
    return at::dot(
        a.as_strided({a.numel()}, {1}), b.as_strided({b.numel()}, {1}));
  }
  return (a * b).sum();
}

class StraightThrough : public torch::autograd::Function<StraightThrough> {
 public:
  static at::Tensor forward(
      AutogradContext* context,
      const at::Tensor& weights,
      const at::Tensor& active,
      const std::optional<at::Tensor>& other) {
    context->saved_data["weights"] = weights.detach();
    variable_list outputs = {active};
    if (other) {
      outputs.push_back(*other);
    }
    context->save_for_backward(std::move(outputs));
    return active;
  }

  static variable_list backward(
      AutogradContext* context, const variable_list& gradients) {
    const at::Tensor& gradient = gradients.front();
    if (!gradient.defined()) {
      return {at::Tensor(), at::Tensor(), at::Tensor()};
    }
    at::Tensor of_weights;
    if (context->needs_input_grad(0)) {
      of_weights = gradient_of_weights(
          gradient,
          context->get_saved_variables(),
          context->saved_data["weights"].toTensor());
    }
    return {of_weights, gradient, at::Tensor()};
  }

 private:
  static at::Tensor gradient_of_weights(
      const at::Tensor& gradient,
      const variable_list& outputs,
      const at::Tensor& weights) {
    const at::NoGradGuard no_grad;
    const at::Tensor wide_gradient = wide(gradient);
    variable_list sums;
    for (const at::Tensor& output : outputs) {
      sums.push_back(inner_product(wide_gradient, wide(output)));
    }
    return at::stack(sums).to(weights.device(), weights.scalar_type());
  }
};

}  // namespace

at::Tensor straight_through(
    const at::Tensor& weights,
    const at::Tensor& active,
    const at::Tensor& other) {
  return StraightThrough::apply(
      weights,
      active,
      other.defined() ? std::optional<at::Tensor>(other) : std::nullopt);
}

}  // namespace gatedpaths::detail
