// SPDX-License-Identifier: MIT
// A search space of operators: three choice blocks in a plain Sequential,
// trained by drawing one path a step, then every path tested with the shared
// weights.
//
// Run: examples/run 02_path_space
#include <gatedpaths/gatedpaths.hpp>

#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adam.h>

#include <fmt/format.h>

#include <cstdint>
#include <string>

namespace {

namespace gp = gatedpaths;
namespace nn = torch::nn;

constexpr int64_t kWidth = 8;
constexpr int kSteps = 600;

//! [block]
gp::ChoiceBlock<> operators() {
  return gp::ChoiceBlock(
      {{"linear", nn::Linear(kWidth, kWidth)},
       {"relu", nn::Sequential(nn::Linear(kWidth, kWidth), nn::ReLU())},
       {"identity", nn::Identity()}});
}
//! [block]

// Whether a number is far from zero: no path without relu can tell.
torch::Tensor labels_of(const torch::Tensor& x) {
  return x.select(1, 0).abs().gt(0.674).to(torch::kLong);
}

}  // namespace

int main() {
  torch::manual_seed(0);
  //! [train]
  nn::Sequential net(
      operators(), operators(), operators(), nn::Linear(kWidth, 2));
  gp::PathSpace space(net);
  gp::UniformSampler sampler(space, /*seed=*/1);
  torch::optim::Adam optimizer(net->parameters(), 0.01);
  for (int step = 0; step < kSteps; ++step) {
    space.apply(sampler.next());
    const auto x = torch::randn({64, kWidth});
    const auto loss =
        nn::functional::cross_entropy(net->forward(x), labels_of(x));
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
  }
  //! [train]

  net->eval();
  const torch::NoGradGuard no_grad;
  const auto x = torch::randn({2000, kWidth});
  double best = 0;
  std::string best_path;
  for (uint64_t i = 0; i < space.size(); ++i) {
    space.apply(space.at(i));
    const double accuracy = net->forward(x)
                                .argmax(1)
                                .eq(labels_of(x))
                                .to(torch::kDouble)
                                .mean()
                                .item<double>();
    if (accuracy > best) {
      best = accuracy;
      best_path = space.to_string(space.at(i));
    }
  }
  fmt::print("{} paths; the best is {}\n", space.size(), best_path);
  // A path without relu guesses; the tests see that the search found better.
  return best > 0.8 ? 0 : 1;
}
