// SPDX-License-Identifier: MIT
// From a trained supernet to a net in hand: what each path costs, which keep a
// budget, which of these is best, and that one alone, for Python too.
//
// Run: examples/run 07_from_supernet_to_net [FOLDER]
// It draws space.svg and writes net.safetensors, net.pt and io.safetensors into
// the folder (here), which 07_in_python.py reads; prints (digits may differ)
//   27 paths, 20 within the budget
//   best: 1=conv3;2=conv3;3=conv5
//   176672 MACs, 2876 parameters, accuracy 0.97
#include <gatedpaths/gatedpaths.hpp>

#include <torch/nn/functional/loss.h>
#include <torch/nn/modules.h>
#include <torch/optim/adam.h>

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace {
namespace gp = gatedpaths;
namespace nn = torch::nn;
constexpr int64_t kChannels = 8, kClasses = 4;

nn::Sequential conv(int64_t size) {
  return nn::Sequential(
      nn::Conv2d(
          nn::Conv2dOptions(kChannels, kChannels, size).padding(size / 2)),
      nn::BatchNorm2d(kChannels),
      nn::ReLU());
}

gp::ChoiceBlock<> block() {
  return gp::ChoiceBlock(
      {{"skip", nn::Identity()}, {"conv3", conv(3)}, {"conv5", conv(5)}});
}

// Noise with a bar of 1 to 4 pixels in each image: its length is the class.
gp::EvaluationBatch batch_of(int64_t size) {
  auto x = 0.2 * torch::randn({size, 1, 8, 8});
  const auto length = torch::randint(kClasses, {size}, torch::kInt64);
  const auto row = torch::arange(8);
  const auto bar = (row >= 2) & (row <= 2 + length.unsqueeze(1));  // [N, 8]
  x.select(2, 4) += bar.unsqueeze(1);
  return {x, length};
}

double accuracy(const torch::Tensor& output, const torch::Tensor& target) {
  return output.argmax(1).eq(target).to(torch::kDouble).mean().item<double>();
}
}  // namespace

int main(int argc, char** argv) {
  const std::filesystem::path folder = argc > 1 ? argv[1] : ".";
  torch::manual_seed(0);
  nn::Conv2d stem(1, kChannels, 1);
  auto one = block(), two = block(), three = block();
  nn::AdaptiveMaxPool2d pool(1);
  nn::Flatten flatten;
  nn::Linear head(kChannels, kClasses);
  nn::Sequential net(stem, one, two, three, pool, flatten, head);
  const gp::PathSpace space(net);
  gp::FairSampler sampler(space, /*seed=*/1);
  torch::optim::Adam adam(net->parameters(), 0.01);
  gp::OpenOptimizer steps(net, space, adam);
  for (int step = 0; step < 1500; ++step) {
    steps.apply(sampler.next());
    steps.zero_grad();
    const auto [x, target] = batch_of(32);
    nn::functional::cross_entropy(net->forward(x), target).backward();
    steps.step();
  }
  //! [choose]
  const auto cost =
      gp::CostModel::measure(net, space, torch::zeros({1, 1, 8, 8}));
  const gp::CountedSpace affordable(
      gp::Budget(cost, gp::CostKind::kMacs, 200e3));
  std::vector<gp::Path> paths;
  for (uint64_t i = 0; i < affordable.size(); ++i) {
    paths.push_back(affordable.at(i));
  }
  const auto held_out = batch_of(512);
  const std::vector<torch::Tensor> recalibrate_on = {batch_of(512).data};
  const auto results = gp::evaluate(
      net,
      space,
      paths,
      {held_out},
      accuracy,
      gp::EvaluateOptions()
          .stages({stem, one, two, three, pool, flatten, head})
          .recalibrate_on(recalibrate_on));
  const auto& best = *std::ranges::max_element(
      results, {}, [](const auto& result) { return result.values[0]; });
  //! [choose]
  //! [take]
  space.apply(best.path);
  gp::recalibrate_batch_norm(net, recalibrate_on);
  auto found = gp::derive(net, space, best.path);
  gp::save_safetensors(folder / "net.safetensors", gp::slots_to_dense(found));
  gp::export_path(net, space, best.path, held_out.data, folder / "net.pt");
  const auto notes = gp::cost_notes(cost, gp::CostKind::kMacs);
  std::ofstream(folder / "space.svg") << gp::space_svg(
      space, gp::SpacePictureOptions().path(best.path).notes(notes));
  //! [take]
  found->eval();
  gp::save_safetensors(
      folder / "io.safetensors",
      {{"input", held_out.data}, {"output", found->forward(held_out.data)}});
  fmt::print("{} paths, {} within the budget\n", space.size(), paths.size());
  fmt::print("best: {}\n", space.to_string(best.path));
  const auto spent = cost.of(best.path);
  fmt::print("{} MACs, {} parameters, ", spent.macs, spent.parameters);
  fmt::print("accuracy {:.2f}\n", best.values[0]);
  return best.values[0] > 0.9 ? 0 : 1;
}
