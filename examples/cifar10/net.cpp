// SPDX-License-Identifier: MIT
#include "net.hpp"

#include "dataset.hpp"

#include <torch/nn/functional/activation.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/pooling.h>

#include <numeric>
#include <vector>

namespace cifar10 {
namespace {

namespace gp = gatedpaths;
namespace nn = torch::nn;

// [N, 3, 32, 32] -> [N, 16 * width, 5, 5]
nn::Sequential conv_path(std::int64_t width) {
  return nn::Sequential(
      nn::Conv2d(nn::Conv2dOptions(kChannels, 6 * width, 5)),
      nn::ReLU(),
      nn::MaxPool2d(2),
      nn::Conv2d(nn::Conv2dOptions(6 * width, 16 * width, 5)),
      nn::ReLU(),
      nn::MaxPool2d(2));
}

std::vector<std::int64_t> path_numbers(const NetOptions& options) {
  if (options.only) {
    return {*options.only};
  }
  std::vector<std::int64_t> numbers(static_cast<std::size_t>(options.paths));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

gp::ConcatGate<> make_paths(const NetOptions& options) {
  std::vector<gp::NamedBranch<>> branches;
  for (const auto number : path_numbers(options)) {
    branches.push_back({path_name(number), conv_path(options.width)});
  }
  return gp::ConcatGate<>(
      gp::ConcatGateOptions(/*dim=*/1)
          .skip(options.skip)
          .min_open(1)
          .max_open(1),
      std::move(branches));
}

}  // namespace

NetImpl::NetImpl(const NetOptions& options)
    : paths_(register_module("paths", make_paths(options))) {
  const auto paths = paths_->num_branches();
  const auto features = 16 * options.width * 5 * 5;  // of each path
  if (options.form == Form::kSlots) {
    const std::vector<std::int64_t> slots(
        static_cast<std::size_t>(paths), features);
    slot_fc1_ = register_module(
        "fc1", gp::SlotLinear(gp::SlotLinearOptions(slots, 120)));
  } else {
    fc1_ = register_module("fc1", nn::Linear(paths * features, 120));
  }
  fc2_ = register_module("fc2", nn::Linear(120, 84));
  fc3_ = register_module("fc3", nn::Linear(84, kClasses));
}

torch::Tensor NetImpl::forward(const torch::Tensor& images) {
  auto x = slot_fc1_
               ? slot_fc1_->forward(paths_->forward_slots(images).flatten())
               : fc1_->forward(paths_->forward(images).flatten(1));
  x = torch::relu(fc2_->forward(torch::relu(x)));
  return fc3_->forward(x);
}

std::string path_name(std::int64_t index) {
  std::string name;
  for (++index; index > 0; index = (index - 1) / 26) {
    name.insert(name.begin(), static_cast<char>('a' + (index - 1) % 26));
  }
  return name;
}

}  // namespace cifar10
