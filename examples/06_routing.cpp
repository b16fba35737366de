// SPDX-License-Identifier: MIT
// Each sample of a batch takes its own branch: a router sends it to one of
// three experts, and each expert runs once, on its own samples only. The data
// come in three clusters, each with a linear rule of its own.
//
// Run: examples/run 06_routing
// Prints (digits may differ):
//   one linear layer for all: loss 5.5
//   three experts, routed:    loss 0.8, samples of each: 79 83 94
#include <gatedpaths/gatedpaths.hpp>

#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adam.h>

#include <fmt/format.h>

#include <cstdint>

namespace {

namespace gp = gatedpaths;
namespace nn = torch::nn;

constexpr int64_t kClusters = 3;
constexpr int64_t kWidth = 8;
constexpr int64_t kBatch = 256;
constexpr int kSteps = 600;

struct Data {
  torch::Tensor centers = 3 * torch::randn({kClusters, kWidth});
  torch::Tensor rules = torch::randn({kClusters, kWidth});

  struct Batch {
    torch::Tensor x;       // [N, 8]
    torch::Tensor target;  // [N, 1]
  };
  Batch batch() const {
    const auto cluster = torch::randint(kClusters, {kBatch}, torch::kInt64);
    const auto offset = torch::randn({kBatch, kWidth});
    const auto rule = rules.index_select(0, cluster);
    return {
        centers.index_select(0, cluster) + offset,
        (offset * rule).sum(1, /*keepdim=*/true)};
  }
};

double train_one(const Data& data) {
  nn::Linear linear(kWidth, 1);
  torch::optim::Adam adam(linear->parameters(), 0.02);
  double last = 0;
  for (int step = 0; step < kSteps; ++step) {
    const auto [x, target] = data.batch();
    const auto loss = nn::functional::mse_loss(linear->forward(x), target);
    adam.zero_grad();
    loss.backward();
    adam.step();
    last = loss.item<double>();
  }
  return last;
}

}  // namespace

int main() {
  torch::manual_seed(0);
  const Data data;
  const double one = train_one(data);

  //! [route]
  gp::ChoiceBlock experts(
      nn::Linear(kWidth, 1), nn::Linear(kWidth, 1), nn::Linear(kWidth, 1));
  nn::Linear router(kWidth, kClusters);
  auto parameters = experts->parameters();
  for (const auto& parameter : router->parameters()) {
    parameters.push_back(parameter);
  }
  torch::optim::Adam adam(parameters, 0.02);
  double last = 0;
  torch::Tensor open;
  for (int step = 0; step < kSteps; ++step) {
    const auto [x, target] = data.batch();
    const auto probabilities = router->forward(x).softmax(1);  // [N, 3]
    const auto chosen = probabilities.argmax(1, /*keepdim=*/true);
    open = torch::zeros_like(probabilities, torch::kBool)
               .scatter_(1, chosen, true);
    // Weighed by its probability, the chosen expert's output teaches the
    // router.
    const auto y = experts->forward(x, open) * probabilities.gather(1, chosen);
    const auto loss = nn::functional::mse_loss(y, target);
    adam.zero_grad();
    (loss + 0.1 * gp::load_balance_loss(probabilities, open)).backward();
    adam.step();
    last = loss.item<double>();
  }
  //! [route]

  fmt::print("one linear layer for all: loss {:.1f}\n", one);
  fmt::print("three experts, routed:    loss {:.1f}, samples of each:", last);
  for (int64_t i = 0; i < kClusters; ++i) {
    fmt::print(" {}", experts->ran_samples(i).size());
  }
  fmt::print("\n");
  return last < 0.25 * one ? 0 : 1;
}
