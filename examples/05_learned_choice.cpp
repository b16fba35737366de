// SPDX-License-Identifier: MIT
// A choice between three operators that is learned: steps of the weights and
// steps of the architecture take turns, and two of the operators run in a step
// at most. Only the operator with relu can tell what is asked for.
//
// Run: examples/run 05_learned_choice
#include <gatedpaths/gatedpaths.hpp>

#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adam.h>

#include <fmt/format.h>

#include <cstdint>

namespace {

namespace gp = gatedpaths;
namespace nn = torch::nn;

constexpr int64_t kWidth = 8;
constexpr int kSteps = 400;

// The distance of a number from zero.
torch::Tensor target_of(const torch::Tensor& x) {
  return x.narrow(1, 0, 1).abs();
}

torch::Tensor loss_of(nn::Sequential& net) {
  const auto x = torch::randn({64, kWidth});
  return nn::functional::mse_loss(net->forward(x), target_of(x));
}

}  // namespace

int main() {
  torch::manual_seed(0);
  nn::Sequential net(
      gp::ChoiceBlock(
          {{"linear", nn::Linear(kWidth, kWidth)},
           {"relu", nn::Sequential(nn::Linear(kWidth, kWidth), nn::ReLU())},
           {"identity", nn::Identity()}}),
      nn::Linear(kWidth, 1));
  //! [train]
  gp::PathSpace space(net);
  gp::PathLogits logits(space);  // not among the network's parameters
  gp::TwoPathEstimator estimator(logits, space, /*seed=*/1);
  torch::optim::Adam weights(net->parameters(), 0.01);
  torch::optim::Adam architecture(
      logits->parameters(), torch::optim::AdamOptions(0.02).betas({0, 0.999}));
  for (int step = 0; step < kSteps; ++step) {
    estimator.apply_plain();  // one operator, drawn by the logits
    weights.zero_grad();
    loss_of(net).backward();
    weights.step();

    estimator.apply();  // two operators, one of them without a graph
    architecture.zero_grad();
    estimator.objective(loss_of(net)).backward();
    architecture.step();
    estimator.finish_step();
  }
  const auto chosen = logits->most_probable();
  //! [train]

  space.apply(chosen);
  net->eval();
  const torch::NoGradGuard no_grad;
  const auto probabilities = logits->probabilities("0");
  const auto& names = space.gate("0").branch_names();
  for (size_t i = 0; i < names.size(); ++i) {
    fmt::print(
        "{}: {:.2f}\n",
        names[i],
        probabilities[static_cast<int64_t>(i)].item<double>());
  }
  fmt::print(
      "chosen: {}, loss {:.4f}\n",
      space.to_string(chosen),
      loss_of(net).item<double>());
  return space.to_string(chosen) == "0=relu" ? 0 : 1;
}
