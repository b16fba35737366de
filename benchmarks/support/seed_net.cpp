// SPDX-License-Identifier: MIT
#include "support/seed_net.hpp"

#include <ATen/ops/cat.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <cstddef>
#include <utility>

namespace bench {
namespace {

namespace gp = gatedpaths;
namespace nn = torch::nn;

constexpr std::int64_t kHidden1 = 120;
constexpr std::int64_t kHidden2 = 84;
constexpr std::int64_t kClasses = 10;

gp::ConcatGate<> make_gate(
    gp::Skip skip, std::int64_t branches, std::int64_t width) {
  std::vector<gp::NamedBranch<>> paths;
  for (std::int64_t i = 0; i < branches; ++i) {
    paths.push_back({std::to_string(i), SeedPath(width)});
  }
  return gp::ConcatGate<>(
      gp::ConcatGateOptions(/*dim=*/1).skip(skip).min_open(1).max_open(1),
      std::move(paths));
}

}  // namespace

SeedPathImpl::SeedPathImpl(std::int64_t width)
    : conv1_(register_module("conv1", nn::Conv2d(3, 6 * width, 5))),
      conv2_(register_module("conv2", nn::Conv2d(6 * width, 16 * width, 5))) {}

torch::Tensor SeedPathImpl::forward(const torch::Tensor& images) {
  const auto x = at::max_pool2d(at::relu(conv1_->forward(images)), 2);
  return at::max_pool2d(at::relu(conv2_->forward(x)), 2);
}

// ---- SeedNet ----

SeedNet::SeedNet()
    : fc2_(register_module("fc2", nn::Linear(kHidden1, kHidden2))),
      fc3_(register_module("fc3", nn::Linear(kHidden2, kClasses))) {}

torch::Tensor SeedNet::rest(const torch::Tensor& hidden) {
  return fc3_->forward(at::relu(fc2_->forward(at::relu(hidden))));
}

std::vector<torch::Tensor> SeedNet::head_of(const torch::Tensor& bias) const {
  return {bias, fc2_->weight, fc2_->bias, fc3_->weight, fc3_->bias};
}

// ---- DenseNet ----

DenseNet::DenseNet(std::int64_t branches, std::int64_t width)
    : features_(path_features(width)),
      fc1_(register_module("fc1", nn::Linear(branches * features_, kHidden1))) {
}

torch::Tensor DenseNet::logits(const torch::Tensor& features) {
  return rest(fc1_->forward(features.flatten(1)));
}

torch::Tensor DenseNet::slot_weight(std::int64_t index) const {
  return fc1_->weight.narrow(1, index * features_, features_);
}

torch::Tensor DenseNet::slot_gradient(std::int64_t index) const {
  const auto& gradient = fc1_->weight.grad();
  return gradient.defined() ? gradient.narrow(1, index * features_, features_)
                            : gradient;
}

std::vector<torch::Tensor> DenseNet::head() const {
  return head_of(fc1_->bias);
}

// ---- BareNet ----

BareNet::BareNet(std::int64_t width)
    : DenseNet(1, width), path_(register_module("path", SeedPath(width))) {}

torch::Tensor BareNet::forward(const torch::Tensor& images) {
  return logits(path_->forward(images));
}

const nn::Module* BareNet::path(std::int64_t index) const {
  return index == 0 ? path_.get() : nullptr;
}

// ---- HandNet ----

HandNet::HandNet(HandForm form, std::int64_t branches, std::int64_t width)
    : DenseNet(branches, width), form_(form), width_(width) {
  for (std::int64_t i = 0; i < branches; ++i) {
    paths_.push_back(
        register_module(fmt::format("path{}", i), SeedPath(width)));
  }
}

torch::Tensor HandNet::forward(const torch::Tensor& images) {
  return logits(at::cat(outputs(images), 1));
}

std::vector<torch::Tensor> HandNet::outputs(const torch::Tensor& images) {
  const auto branches = static_cast<std::int64_t>(paths_.size());
  const auto open = static_cast<std::size_t>(open_);
  std::vector<torch::Tensor> parts(paths_.size());
  switch (form_) {
    case HandForm::kMask:
      for (std::size_t i = 0; i < paths_.size(); ++i) {
        parts[i] = paths_[i]->forward(images) * (i == open ? 1.0 : 0.0);
      }
      break;
    case HandForm::kNoGrad:
      for (std::size_t i = 0; i < paths_.size(); ++i) {
        if (i == open) {
          parts[i] = paths_[i]->forward(images);
        } else {
          const torch::NoGradGuard no_grad;
          parts[i] = at::zeros_like(paths_[i]->forward(images));
        }
      }
      break;
    // One tensor of zeros stands in for all closed paths: cat copies it anyway.
    case HandForm::kZeroFill:
      parts[open] = paths_[open]->forward(images);
      if (branches > 1) {
        const auto zeros =
            at::zeros({images.size(0), 16 * width_, 5, 5}, images.options());
        for (std::size_t i = 0; i < paths_.size(); ++i) {
          if (i != open) {
            parts[i] = zeros;
          }
        }
      }
      break;
    case HandForm::kZerosLike:
      parts[open] = paths_[open]->forward(images);
      if (branches > 1) {
        const auto zeros = at::zeros_like(parts[open]);
        for (std::size_t i = 0; i < paths_.size(); ++i) {
          if (i != open) {
            parts[i] = zeros;
          }
        }
      }
      break;
  }
  return parts;
}

const nn::Module* HandNet::path(std::int64_t index) const {
  return paths_[static_cast<std::size_t>(index)].get();
}

// ---- GateNet ----

GateNet::GateNet(gp::Skip skip, std::int64_t branches, std::int64_t width)
    : DenseNet(branches, width),
      paths_(register_module("paths", make_gate(skip, branches, width))) {}

torch::Tensor GateNet::forward(const torch::Tensor& images) {
  return logits(paths_->forward(images));
}

const nn::Module* GateNet::path(std::int64_t index) const {
  return &paths_->branch_module(index);
}

// ---- SlotNet ----

SlotNet::SlotNet(std::int64_t branches, std::int64_t width)
    // In the order of the other nets, which is that of the first step's updates
    // and so of its peak memory.
    : fc1_(register_module(
          "fc1",
          gp::SlotLinear(gp::SlotLinearOptions(
              std::vector<std::int64_t>(
                  static_cast<std::size_t>(branches), path_features(width)),
              kHidden1)))),
      paths_(register_module(
          "paths", make_gate(gp::Skip::kZeroFill, branches, width))) {}

torch::Tensor SlotNet::forward(const torch::Tensor& images) {
  return rest(fc1_->forward(paths_->forward_slots(images).flatten()));
}

const nn::Module* SlotNet::path(std::int64_t index) const {
  return &paths_->branch_module(index);
}

torch::Tensor SlotNet::slot_weight(std::int64_t index) const {
  return fc1_->weights[static_cast<std::size_t>(index)];
}

torch::Tensor SlotNet::slot_gradient(std::int64_t index) const {
  return slot_weight(index).grad();
}

std::vector<torch::Tensor> SlotNet::head() const { return head_of(fc1_->bias); }

// ---- Weights ----

namespace {

void copy_all(
    const std::vector<torch::Tensor>& from,
    const std::vector<torch::Tensor>& to) {
  TORCH_INTERNAL_ASSERT(from.size() == to.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    auto target = to[i];
    target.copy_(from[i]);
  }
}

}  // namespace

void copy_weights(
    const SeedNet& from,
    SeedNet& to,
    std::int64_t branches,
    std::optional<std::int64_t> path) {
  const torch::NoGradGuard no_grad;
  const auto copy_path = [&](std::int64_t source, std::int64_t target) {
    copy_all(from.path(source)->parameters(), to.path(target)->parameters());
    to.slot_weight(target).copy_(from.slot_weight(source));
  };
  if (path) {
    copy_path(*path, 0);
  } else {
    for (std::int64_t i = 0; i < branches; ++i) {
      copy_path(i, i);
    }
  }
  copy_all(from.head(), to.head());
}

}  // namespace bench
