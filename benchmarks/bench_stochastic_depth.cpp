// SPDX-License-Identifier: MIT
// A training step of 16 residual blocks whose branches are dropped at random:
// the library's modes, the formula of rows by hand, and no drop.
#include "support/program.hpp"

#include <gatedpaths/gatedpaths.hpp>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>
#include <c10/util/Exception.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/optim/sgd.h>
#include <torch/utils.h>

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

namespace gp = gatedpaths;
namespace nn = torch::nn;

constexpr std::size_t kBlocks = 16;
constexpr std::int64_t kChannels = 32;
constexpr std::int64_t kBatch = 64;
constexpr std::int64_t kImage = 8;
// Steps a repetition: how many blocks run differs from step to step.
constexpr int kSteps = 16;

nn::Sequential make_branch() {
  const auto options = nn::Conv2dOptions(kChannels, kChannels, 3).padding(1);
  return nn::Sequential(nn::Conv2d(options), nn::ReLU(), nn::Conv2d(options));
}

/// The blocks in one form.
struct Blocks {
  virtual ~Blocks() = default;
  virtual torch::Tensor forward(torch::Tensor x) = 0;
  std::vector<nn::Sequential> branches;
};

struct NoDrop : Blocks {
  torch::Tensor forward(torch::Tensor x) override {
    for (auto& branch : branches) {
      x = x + branch->forward(x);
    }
    return x;
  }
};

// By row, as torchvision's formula says.
struct HandRow : Blocks {
  explicit HandRow(double drop) : keep(1 - drop) {}

  torch::Tensor forward(torch::Tensor x) override {
    for (auto& branch : branches) {
      auto noise = at::empty({x.size(0), 1, 1, 1}, x.options());
      noise.bernoulli_(keep).div_(keep);
      x = x + branch->forward(x) * noise;
    }
    return x;
  }

  double keep;
};

struct Library : Blocks {
  torch::Tensor forward(torch::Tensor x) override {
    for (auto& block : blocks) {
      x = block->forward(x);
    }
    return x;
  }

  std::vector<gp::StochasticDepth<nn::Sequential>> blocks;
};

using MakeBlocks = std::function<std::unique_ptr<Blocks>()>;

std::unique_ptr<Blocks> with_branches(std::unique_ptr<Blocks> blocks) {
  torch::manual_seed(0);
  for (std::size_t i = 0; i < kBlocks; ++i) {
    blocks->branches.push_back(make_branch());
  }
  return blocks;
}

/// `rate` gives the drop rate of each block.
MakeBlocks library(
    gp::DropMode mode, const std::function<double(std::size_t)>& rate) {
  return [=] {
    auto blocks = with_branches(std::make_unique<Library>());
    auto& all = dynamic_cast<Library&>(*blocks).blocks;
    for (std::size_t i = 0; i < kBlocks; ++i) {
      all.emplace_back(
          blocks->branches[i],
          gp::StochasticDepthOptions(rate(i)).mode(mode).seed(i));
    }
    return blocks;
  };
}

class Training {
 public:
  explicit Training(const MakeBlocks& make)
      : blocks_(make()),
        optimizer_(
            parameters(),
            torch::optim::SGDOptions(1e-5).momentum(0.9).weight_decay(5e-4)) {
    at::set_num_threads(1);
    torch::manual_seed(1);
    input_ = at::randn({kBatch, kChannels, kImage, kImage});
  }

  void step() {
    optimizer_.zero_grad();
    blocks_->forward(input_).square().mean().backward();
    optimizer_.step();
  }

  torch::Tensor forward() { return blocks_->forward(input_); }

 private:
  std::vector<torch::Tensor> parameters() const {
    std::vector<torch::Tensor> all;
    for (const auto& branch : blocks_->branches) {
      const auto own = branch->parameters();
      all.insert(all.end(), own.begin(), own.end());
    }
    return all;
  }

  std::unique_ptr<Blocks> blocks_;
  torch::optim::SGD optimizer_;
  torch::Tensor input_;
};

/// Without drop all forms give the same.
void check() {
  const auto none = [](std::size_t) { return 0.0; };
  const auto expected = Training([] {
                          return with_branches(std::make_unique<NoDrop>());
                        }).forward();
  for (const auto mode :
       {gp::DropMode::kRow, gp::DropMode::kBatch, gp::DropMode::kSubset}) {
    const auto found = Training(library(mode, none)).forward();
    TORCH_CHECK(
        found.equal(expected),
        "stochastic_depth: expected at rate 0 what plain blocks give, got a "
        "difference of ",
        (found - expected).abs().max().item<double>());
  }
}

bench::Row make_row(std::string_view form, const MakeBlocks& make) {
  return {
      fmt::format("stochastic_depth/{}/blocks:{}", form, kBlocks),
      [make](benchmark::State& state) {
        Training training(make);
        training.step();
        for (auto _ : state) {
          for (int i = 0; i < kSteps; ++i) {
            training.step();
          }
        }
      },
      benchmark::kMillisecond};
}

std::vector<bench::Group> make_groups(const bench::Settings& /*settings*/) {
  const auto flat = [](std::size_t) { return 0.4; };
  const auto linear = [](std::size_t i) {
    return 0.5 * static_cast<double>(i + 1) / static_cast<double>(kBlocks);
  };
  bench::Group group{.check = check, .rows = {}};
  group.rows.push_back(make_row(
      "no_drop", [] { return with_branches(std::make_unique<NoDrop>()); }));
  group.rows.push_back(make_row("hand_row", [] {
    return with_branches(std::make_unique<HandRow>(0.4));
  }));
  group.rows.push_back(make_row("row", library(gp::DropMode::kRow, flat)));
  group.rows.push_back(
      make_row("subset", library(gp::DropMode::kSubset, flat)));
  group.rows.push_back(
      make_row("batch_linear", library(gp::DropMode::kBatch, linear)));
  return {std::move(group)};
}

}  // namespace

int main(int argc, char** argv) {
  bench::keep_freed_memory();
  return bench::run_program(
      argc, argv, make_groups, {.repetitions = 21, .seconds = 0.1});
}
