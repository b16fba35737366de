// SPDX-License-Identifier: MIT
#include "straight_through.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/as_strided.h>
#include <ATen/ops/dot.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>
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

// Passes a gradient on that has forgotten a part of what it depends on.
class OnceDifferentiable
    : public torch::autograd::Function<OnceDifferentiable> {
 public:
  // `forgetful` makes it part of a graph where `gradient` alone would not.
  static at::Tensor forward(
      AutogradContext* /*context*/,
      const at::Tensor& gradient,
      const at::Tensor& /*forgetful*/) {
    return gradient.clone();
  }

  static variable_list backward(
      AutogradContext* /*context*/, const variable_list& /*gradients*/) {
    TORCH_CHECK(
        false,
        "TwoPathEstimator: trying to differentiate twice a gradient of logits "
        "that can be differentiated only once, since the second branch ran "
        "without a graph; choose GumbelEstimator, MixtureEstimator or "
        "ReinforceEstimator");
  }
};

class StraightThrough : public torch::autograd::Function<StraightThrough> {
 public:
  static at::Tensor forward(
      AutogradContext* context,
      const at::Tensor& weights,
      const at::Tensor& active,
      const std::optional<at::Tensor>& other) {
    context->set_materialize_grads(false);
    variable_list saved = {weights, active};
    if (other) {
      saved.push_back(*other);
    }
    context->save_for_backward(std::move(saved));
    return active.clone();
  }

  static variable_list backward(
      AutogradContext* context, const variable_list& gradients) {
    const at::Tensor& gradient = gradients.front();
    if (!gradient.defined()) {
      return {at::Tensor(), at::Tensor(), at::Tensor()};
    }
    const variable_list saved = context->get_saved_variables();
    at::Tensor of_weights;
    if (context->needs_input_grad(0)) {
      of_weights = gradient_of_weights(gradient, saved);
    }
    at::Tensor of_active = gradient;
    if (c10::GradMode::is_enabled() && context->needs_input_grad(1)) {
      // The weight is 1 in value, and a weight all the same to what follows.
      of_active = straight_through(saved[0].narrow(0, 0, 1), gradient);
    }
    return {of_weights, of_active, at::Tensor()};
  }

 private:
  static at::Tensor gradient_of_weights(
      const at::Tensor& gradient, const variable_list& saved) {
    const at::Tensor& weights = saved.front();
    const at::Tensor wide_gradient = wide(gradient);
    variable_list sums;
    for (size_t i = 1; i < saved.size(); ++i) {
      sums.push_back(inner_product(wide_gradient, wide(saved[i])));
    }
    const at::Tensor result =
        at::stack(sums).to(weights.device(), weights.scalar_type());
    return c10::GradMode::is_enabled() && sums.size() > 1
               ? OnceDifferentiable::apply(result, weights)
               : result;
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
