// SPDX-License-Identifier: MIT
#include "net.hpp"

#include <c10/util/Exception.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/common.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace nas_bench_macro {
namespace {

namespace gp = gatedpaths;
namespace nn = torch::nn;

constexpr std::int64_t kImageChannels = 3;
constexpr auto kIdentity = "identity";
constexpr auto kExpand3Kernel3 = "expand3_kernel3";
constexpr auto kExpand6Kernel5 = "expand6_kernel5";

struct Block {
  std::int64_t in = 0;
  std::int64_t out = 0;
  std::int64_t stride = 1;
};

nn::Conv2dOptions conv(
    std::int64_t in,
    std::int64_t out,
    std::int64_t kernel,
    std::int64_t stride = 1) {
  return nn::Conv2dOptions(in, out, kernel)
      .stride(stride)
      .padding(kernel / 2)
      .bias(false);
}

nn::Sequential conv_norm_relu(
    std::int64_t in, std::int64_t out, std::int64_t kernel) {
  return nn::Sequential(
      nn::Conv2d(conv(in, out, kernel)), nn::BatchNorm2d(out), nn::ReLU());
}

/// An inverted residual (MobileNetV2), with the shortcut where the shape stays.
class InvertedResidualImpl : public nn::Cloneable<InvertedResidualImpl> {
 public:
  InvertedResidualImpl(
      const Block& block, std::int64_t expansion, std::int64_t kernel)
      : block_(block), expansion_(expansion), kernel_(kernel) {
    InvertedResidualImpl::reset();
  }

  void reset() override {
    const auto hidden = block_.in * expansion_;
    layers_ = register_module(
        "layers",
        nn::Sequential(
            nn::Conv2d(conv(block_.in, hidden, 1)),
            nn::BatchNorm2d(hidden),
            nn::ReLU(),
            nn::Conv2d(
                conv(hidden, hidden, kernel_, block_.stride).groups(hidden)),
            nn::BatchNorm2d(hidden),
            nn::ReLU(),
            nn::Conv2d(conv(hidden, block_.out, 1)),
            nn::BatchNorm2d(block_.out)));
  }

  torch::Tensor forward(const torch::Tensor& x) {
    auto y = layers_->forward(x);
    return block_.stride == 1 && block_.in == block_.out ? y + x : y;
  }

 private:
  Block block_;
  std::int64_t expansion_;
  std::int64_t kernel_;
  nn::Sequential layers_{nullptr};
};

TORCH_MODULE(InvertedResidual);

gp::AnyBranch identity(const Block& block) {
  if (block.stride == 1 && block.in == block.out) {
    return nn::Identity();
  }
  return nn::Sequential(
      nn::Conv2d(conv(block.in, block.out, 1, block.stride)),
      nn::BatchNorm2d(block.out));
}

gp::ChoiceBlock<> choice(const Block& block) {
  return gp::ChoiceBlock<>(
      {{kIdentity, identity(block)},
       {kExpand3Kernel3, InvertedResidual(block, 3, 3)},
       {kExpand6Kernel5, InvertedResidual(block, 6, 5)}});
}

std::int64_t scaled(std::int64_t channels, double width) {
  const auto result = static_cast<double>(channels) * width;
  TORCH_CHECK_VALUE(
      result >= 1 && result == std::floor(result) && result < 1e6,
      fmt::format(
          "nas_bench_macro::Net: expected a width that gives whole channels, "
          "got {} channels times {}",
          channels,
          width));
  return static_cast<std::int64_t>(result);
}

void check_space(std::uint64_t hash) {
  TORCH_CHECK_VALUE(
      hash == layout()->hash(),
      fmt::format(
          "nas_bench_macro: expected the space {:#018x}, got {:#018x}",
          layout()->hash(),
          hash));
}

}  // namespace

NetImpl::NetImpl(const NetOptions& options) : options_(options) {
  NetImpl::reset();
}

void NetImpl::reset() {
  auto in = scaled(32, options_.width);
  stem_ = register_module("stem", conv_norm_relu(kImageChannels, in, 3));
  blocks_ = register_module("blocks", nn::Sequential());
  for (const auto& [channels, count] :
       {std::pair{64, 2}, std::pair{128, 3}, std::pair{256, 3}}) {
    const auto out = scaled(channels, options_.width);
    for (int i = 0; i < count; ++i) {
      blocks_->push_back(choice({in, out, i == 0 ? 2 : 1}).ptr());
      in = out;
    }
  }
  const auto features = scaled(1280, options_.width);
  head_ = register_module("head", conv_norm_relu(in, features, 1));
  head_->push_back(nn::AdaptiveAvgPool2d(1));
  head_->push_back(nn::Flatten());
  head_->push_back(nn::Linear(features, options_.classes));
}

torch::Tensor NetImpl::forward(const torch::Tensor& images) {
  return head_->forward(blocks_->forward(stem_->forward(images)));
}

std::vector<gp::Stage> NetImpl::stages() {
  std::vector<gp::Stage> stages = {stem_};
  for (std::size_t i = 0; i < blocks_->size(); ++i) {
    stages.emplace_back(blocks_->ptr<gp::ChoiceBlockImpl<>>(i));
  }
  stages.emplace_back(head_);
  return stages;
}

std::shared_ptr<const gp::SpaceLayout> layout() {
  static const auto space = [] {
    std::vector<gp::GateLayout> gates;
    for (std::int64_t block = 0; block < kBlocks; ++block) {
      gates.push_back(
          {.name = fmt::format("blocks.{}", block),
           .branch_names = {kIdentity, kExpand3Kernel3, kExpand6Kernel5}});
    }
    return std::make_shared<const gp::SpaceLayout>(std::move(gates));
  }();
  return space;
}

std::string architecture(const gp::Path& path) {
  check_space(path.space_hash());
  std::string text;
  for (const auto& [gate, open] : path) {
    text += static_cast<char>('0' + open[0]);
  }
  return text;
}

bool is_architecture(std::string_view text) {
  return text.size() == static_cast<std::size_t>(kBlocks) &&
         text.find_first_not_of("012") == std::string_view::npos;
}

gp::Path path_of(const gp::SpaceLayout& space, std::string_view architecture) {
  check_space(space.hash());
  TORCH_CHECK_VALUE(
      is_architecture(architecture),
      fmt::format(
          "expected an architecture of {} digits from 0 to "
          "{}, "
          "got '{}'",
          kBlocks,
          kChoices - 1,
          architecture));
  return space.make_path(
      [&](std::int64_t gate, std::vector<std::int64_t>& open) {
        open.push_back(architecture[static_cast<std::size_t>(gate)] - '0');
      });
}

}  // namespace nas_bench_macro
