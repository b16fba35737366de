// SPDX-License-Identifier: MIT
// What LibTorch's optimizers remember of their parameters.
#pragma once

#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/optimizer.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>
#include <torch/types.h>

#include <initializer_list>

#include "support/snapshot.hpp"

namespace gatedpaths::test {

/// Copies of the state of each parameter of the optimizer's lists, in their
/// order; undefined where there is none.
inline Tensors optimizer_state(const torch::optim::Optimizer& optimizer) {
  using namespace torch::optim;
  Tensors result;
  const auto add = [&](std::initializer_list<torch::Tensor> tensors) {
    for (const auto& tensor : tensors) {
      result.push_back(
          tensor.defined() ? tensor.detach().clone() : torch::Tensor());
    }
  };
  for (const auto& group : optimizer.param_groups()) {
    for (const auto& parameter : group.params()) {
      const auto found =
          optimizer.state().find(parameter.unsafeGetTensorImpl());
      if (found == optimizer.state().end()) {
        result.emplace_back();
        continue;
      }
      const auto* state = found->second.get();
      if (const auto* sgd = dynamic_cast<const SGDParamState*>(state)) {
        add({sgd->momentum_buffer()});
      } else if (
          const auto* adam = dynamic_cast<const AdamParamState*>(state)) {
        add(
            {torch::tensor(adam->step()),
             adam->exp_avg(),
             adam->exp_avg_sq(),
             adam->max_exp_avg_sq()});
      } else if (
          const auto* adamw = dynamic_cast<const AdamWParamState*>(state)) {
        add(
            {torch::tensor(adamw->step()),
             adamw->exp_avg(),
             adamw->exp_avg_sq()});
      } else if (
          const auto* rms = dynamic_cast<const RMSpropParamState*>(state)) {
        add(
            {torch::tensor(rms->step()),
             rms->square_avg(),
             rms->momentum_buffer(),
             rms->grad_avg()});
      } else {
        const auto& adagrad = dynamic_cast<const AdagradParamState&>(*state);
        add({torch::tensor(adagrad.step()), adagrad.sum()});
      }
    }
  }
  return result;
}

}  // namespace gatedpaths::test
