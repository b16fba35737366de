// SPDX-License-Identifier: MIT
#include "net.hpp"

#include <gatedpaths/gates/choice_block.hpp>

#include <c10/util/Exception.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>

#include <fmt/format.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace nas_bench_201 {
namespace {

namespace gp = gatedpaths;
namespace nn = torch::nn;

constexpr std::int64_t kImageChannels = 3;
constexpr std::int64_t kStages = 3;
constexpr std::int64_t kMost = 100'000;  // of anything that is counted

nn::Conv2d conv(
    std::int64_t in,
    std::int64_t out,
    std::int64_t kernel,
    std::int64_t stride = 1) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, kernel)
                        .stride(stride)
                        .padding(kernel / 2)
                        .bias(false));
}

nn::Sequential relu_conv_norm(
    std::int64_t in,
    std::int64_t out,
    std::int64_t kernel,
    std::int64_t stride = 1) {
  return nn::Sequential(
      nn::ReLU(), conv(in, out, kernel, stride), nn::BatchNorm2d(out));
}

class ZeroImpl : public nn::Cloneable<ZeroImpl> {
 public:
  void reset() override {}
  torch::Tensor forward(const torch::Tensor& x) { return torch::zeros_like(x); }
};

TORCH_MODULE(Zero);

nn::Sequential make_operation(std::string_view name, std::int64_t channels) {
  if (name == "none") {
    return nn::Sequential(Zero());
  }
  if (name == "skip_connect") {
    return nn::Sequential(nn::Identity());
  }
  if (name == "avg_pool_3x3") {
    return nn::Sequential(nn::AvgPool2d(
        nn::AvgPool2dOptions(3).stride(1).padding(1).count_include_pad(false)));
  }
  return relu_conv_norm(channels, channels, name == "nor_conv_1x1" ? 1 : 3);
}

/// Half the resolution, twice the channels.
class ReductionImpl : public nn::Cloneable<ReductionImpl> {
 public:
  explicit ReductionImpl(std::int64_t in) : in_(in) { ReductionImpl::reset(); }

  void reset() override {
    const auto out = 2 * in_;
    layers_ = register_module(
        "layers",
        nn::Sequential(
            nn::ReLU(),
            conv(in_, out, 3, 2),
            nn::BatchNorm2d(out),
            nn::ReLU(),
            conv(out, out, 3),
            nn::BatchNorm2d(out)));
    shortcut_ = register_module(
        "shortcut",
        nn::Sequential(
            nn::AvgPool2d(nn::AvgPool2dOptions(2).stride(2)),
            conv(in_, out, 1)));
  }

  torch::Tensor forward(const torch::Tensor& x) {
    return shortcut_->forward(x) + layers_->forward(x);
  }

 private:
  std::int64_t in_;
  nn::Sequential layers_{nullptr};
  nn::Sequential shortcut_{nullptr};
};

TORCH_MODULE(Reduction);

void check_option(const char* name, std::int64_t value) {
  TORCH_CHECK_VALUE(
      0 < value && value <= kMost,
      fmt::format(
          "nas_bench_201::Net: expected {} from 1 to {}, got {}",
          name,
          kMost,
          value));
}

void check_index(const char* name, std::int64_t index, std::size_t count) {
  TORCH_CHECK_INDEX(
      0 <= index && index < static_cast<std::int64_t>(count),
      fmt::format(
          "nas_bench_201::Operation: expected {} from 0 to {}, got {}",
          name,
          static_cast<std::int64_t>(count) - 1,
          index));
}

}  // namespace

OperationImpl::OperationImpl(
    std::int64_t operation, std::vector<std::int64_t> channels)
    : operation_(operation), channels_(std::move(channels)) {
  OperationImpl::reset();
}

void OperationImpl::reset() {
  check_index("an operation", operation_, kOperations.size());
  cells_.clear();
  const auto name = kOperations[static_cast<std::size_t>(operation_)];
  for (std::size_t i = 0; i < channels_.size(); ++i) {
    cells_.push_back(
        register_module(std::to_string(i), make_operation(name, channels_[i])));
  }
}

void OperationImpl::set_cell(std::int64_t cell) {
  check_index("a cell", cell, cells_.size());
  cell_ = cell;
}

torch::Tensor OperationImpl::forward(const torch::Tensor& x) {
  return cells_.at(static_cast<std::size_t>(cell_))->forward(x);
}

NetImpl::NetImpl(const NetOptions& options) : options_(options) {
  NetImpl::reset();
}

void NetImpl::reset() {
  check_option("channels", options_.channels);
  check_option("cells", options_.cells);
  check_option("classes", options_.classes);
  auto channels = options_.channels;
  stem_ = register_module(
      "stem",
      nn::Sequential(
          conv(kImageChannels, channels, 3), nn::BatchNorm2d(channels)));
  reductions_ = register_module("reductions", nn::Sequential());
  std::vector<std::int64_t> channels_of;  // by cell
  for (std::int64_t stage = 0; stage < kStages; ++stage) {
    if (stage > 0) {
      reductions_->push_back(Reduction(channels));
      channels *= 2;
    }
    channels_of.insert(
        channels_of.end(), static_cast<std::size_t>(options_.cells), channels);
  }
  edges_.clear();
  for (const auto& edge : kEdges) {
    std::vector<gp::NamedBranch<Operation>> branches;
    for (std::size_t i = 0; i < kOperations.size(); ++i) {
      branches.emplace_back(
          std::string(kOperations[i]),
          Operation(static_cast<std::int64_t>(i), channels_of));
    }
    edges_.push_back(
        register_module(gate_name(edge), gp::ChoiceBlock<Operation>(branches)));
  }
  head_ = register_module(
      "head",
      nn::Sequential(
          nn::BatchNorm2d(channels),
          nn::ReLU(),
          nn::AdaptiveAvgPool2d(1),
          nn::Flatten(),
          nn::Linear(channels, options_.classes)));
}

torch::Tensor NetImpl::forward(const torch::Tensor& images) {
  TORCH_CHECK_VALUE(
      images.dim() == 4 && images.size(1) == kImageChannels &&
          images.size(2) % 4 == 0 && images.size(3) % 4 == 0,
      "nas_bench_201::Net::forward: expected [N, 3, H, W] with multiples of 4 "
      "as H and W, got ",
      images.sizes());
  auto x = stem_->forward(images);
  for (std::int64_t cell = 0; cell < kStages * options_.cells; ++cell) {
    if (cell > 0 && cell % options_.cells == 0) {
      const auto before = static_cast<std::size_t>(cell / options_.cells - 1);
      x = reductions_->at<ReductionImpl>(before).forward(x);
    }
    x = run_cell(x, cell);
  }
  return head_->forward(x);
}

torch::Tensor NetImpl::run_cell(const torch::Tensor& input, std::int64_t cell) {
  std::array<torch::Tensor, 4> nodes = {input};
  for (std::size_t i = 0; i < kEdges.size(); ++i) {
    auto& gate = *edges_[i];
    for (std::int64_t branch = 0; branch < gate.num_branches(); ++branch) {
      gate.branch(branch)->set_cell(cell);
    }
    auto& target = nodes[static_cast<std::size_t>(kEdges[i].target)];
    const auto value =
        gate.forward(nodes[static_cast<std::size_t>(kEdges[i].source)]);
    target = target.defined() ? target + value : value;
  }
  return nodes.back();
}

}  // namespace nas_bench_201
