// SPDX-License-Identifier: MIT
// Training steps of NAS-Bench-Macro's supernet, one random path a step, for
// python/peers.py to time beside the same in PyTorch.
//
//   macro_steps FILE WIDTH
//
// FILE is a safetensors file: the net's tensors, by the names that they have in
// it, and `images` and `labels`. Lines of the standard input say what to do:
// `step 01200120` makes one step on that net and prints its loss, `steps 100`
// so many on random ones, and prints the seconds: by the clock, and of this
// process.
#include "nas_bench_macro/net.hpp"

#include <gatedpaths/exchange/dense_state.hpp>
#include <gatedpaths/exchange/safetensors.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/paths/uniform_sampler.hpp>
#include <gatedpaths/training/open_optimizer.hpp>

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <torch/nn/functional/loss.h>
#include <torch/optim/sgd.h>

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <exception>
#include <iostream>
#include <string>
#include <utility>

namespace {

namespace gp = gatedpaths;

using Clock = std::chrono::steady_clock;

/// The one batch that all steps are made on.
struct Batch {
  torch::Tensor images;
  torch::Tensor labels;
};

class Training {
 public:
  Training(nas_bench_macro::Net net, Batch batch)
      : net_(std::move(net)),
        batch_(std::move(batch)),
        space_(net_),
        sampler_(space_, 0),
        optimizer_(
            net_->parameters(),
            torch::optim::SGDOptions(0.01).momentum(0.9).weight_decay(4e-5)),
        open_optimizer_(net_, space_, optimizer_) {
    net_->train();
  }

  /// A step on the net of this text. Gives its loss.
  double step_on(const std::string& architecture) {
    return step(nas_bench_macro::path_of(*space_.layout(), architecture))
        .item<double>();
  }

  /// Steps on random paths.
  void steps(std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
      step(sampler_.next());
    }
  }

 private:
  torch::Tensor step(const gp::Path& path) {
    open_optimizer_.apply(path);
    open_optimizer_.zero_grad();
    auto loss = torch::nn::functional::cross_entropy(
        net_->forward(batch_.images), batch_.labels);
    loss.backward();
    open_optimizer_.step();
    return loss.detach();
  }

  nas_bench_macro::Net net_;
  Batch batch_;
  gp::PathSpace space_;
  gp::UniformSampler sampler_;
  torch::optim::SGD optimizer_;
  gp::OpenOptimizer open_optimizer_;
};

Training made(const std::string& file, const std::string& width) {
  auto tensors = gp::load_safetensors(file);
  Batch batch{tensors["images"], tensors["labels"]};
  tensors.erase("images");
  tensors.erase("labels");
  nas_bench_macro::Net net(
      nas_bench_macro::NetOptions{.width = std::stod(width)});
  gp::slots_from_dense(net, tensors);
  return {net, std::move(batch)};
}

void answer(Training& training, const std::string& command) {
  std::string what;
  std::cin >> what;
  if (command == "step") {
    fmt::print("{:.9g}\n", training.step_on(what));
  } else if (command == "steps") {
    const auto cpu_start = std::clock();
    const auto start = Clock::now();
    training.steps(std::stoll(what));
    const std::chrono::duration<double> seconds = Clock::now() - start;
    const auto cpu_ticks = static_cast<double>(std::clock() - cpu_start);
    fmt::print("{:.9g} {:.9g}\n", seconds.count(), cpu_ticks / CLOCKS_PER_SEC);
  } else {
    TORCH_CHECK_VALUE(
        false,
        fmt::format(
            "macro_steps: expected 'step' or 'steps', got '{}'", command));
  }
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    TORCH_CHECK_VALUE(
        argc == 3,
        fmt::format("macro_steps: expected FILE WIDTH, got {}", argc - 1));
    at::set_num_threads(1);
    auto training = made(argv[1], argv[2]);
    std::string command;
    while (std::cin >> command) {
      answer(training, command);
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}
