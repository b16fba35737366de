// SPDX-License-Identifier: MIT
#include "differential/optimizers.hpp"

#include "differential/dice.hpp"

#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

namespace gatedpaths::differential {

std::unique_ptr<torch::optim::Optimizer> random_optimizer(
    const std::vector<torch::Tensor>& parameters, uint64_t seed) {
  using namespace torch::optim;
  Dice dice(mixed({seed, 3}));
  std::vector<std::vector<torch::Tensor>> lists(2);
  const double second = dice.chance(0.4) ? 0.5 : 0;
  const double left_out = dice.chance(0.3) ? 0.2 : 0;
  for (const auto& parameter : parameters) {
    const bool in_second = dice.chance(second);
    if (!dice.chance(left_out)) {
      lists[in_second ? 1 : 0].push_back(parameter);
    }
  }
  const std::vector<OptimizerParamGroup> groups(lists.begin(), lists.end());
  switch (dice.below(5)) {
    case 0:
      return std::make_unique<SGD>(
          groups,
          SGDOptions(0.05).momentum(0.9).weight_decay(0.01).nesterov(
              dice.chance(0.5)));
    case 1:
      return std::make_unique<Adam>(
          groups,
          AdamOptions(0.01).weight_decay(0.1).amsgrad(dice.chance(0.5)));
    case 2:
      return std::make_unique<AdamW>(
          groups, AdamWOptions(0.01).weight_decay(0.1));
    case 3:
      return std::make_unique<RMSprop>(
          groups, RMSpropOptions(0.01).momentum(0.9).centered(true));
    default:
      return std::make_unique<Adagrad>(
          groups, AdagradOptions(0.05).lr_decay(0.01).weight_decay(0.1));
  }
}

}  // namespace gatedpaths::differential
