// SPDX-License-Identifier: MIT
#include "differential/leaf.hpp"

#include <limits>

namespace gatedpaths::differential {

LeafImpl::LeafImpl(const Node& node, Form form)
    : kind_(node.leaf),
      form_(form),
      out_(node.out),
      dim_(form == Form::kTokens ? 2 : 1) {
  switch (kind_) {
    case LeafKind::kConstant:
      constant_ = register_parameter("constant", torch::randn({out_}));
      return;
    case LeafKind::kIdentity:
    case LeafKind::kNarrow:
    case LeafKind::kMean:
      return;
    default:
      break;
  }
  if (form == Form::kImages) {
    conv_ = register_module(
        "conv",
        torch::nn::Conv2d(
            torch::nn::Conv2dOptions(node.in, out_, 3).padding(1)));
  } else {
    linear_ = register_module("linear", torch::nn::Linear(node.in, out_));
  }
  if (kind_ == LeafKind::kDropout) {
    dropout_ = register_module("dropout", torch::nn::Dropout(0.4));
  } else if (kind_ == LeafKind::kNorm && form == Form::kImages) {
    // A large eps: channels without a spread would make noise into values.
    batch_norm_ = register_module(
        "norm",
        torch::nn::BatchNorm2d(torch::nn::BatchNorm2dOptions(out_).eps(0.1)));
  } else if (kind_ == LeafKind::kNorm) {
    layer_norm_ = register_module(
        "norm",
        torch::nn::LayerNorm(torch::nn::LayerNormOptions({out_}).eps(0.1)));
  }
  if (node.frozen) {
    for (auto& parameter : parameters()) {
      parameter.requires_grad_(false);
    }
  }
}

torch::Tensor LeafImpl::forward(const torch::Tensor& input) {
  switch (kind_) {
    case LeafKind::kTanh:
      return mix(input).tanh();
    case LeafKind::kNorm: {
      const auto mixed = mix(input);
      return (batch_norm_ ? batch_norm_->forward(mixed)
                          : layer_norm_->forward(mixed))
          .tanh();
    }
    case LeafKind::kDropout:
      // What falls on which element depends on the memory otherwise.
      return mix(dropout_->forward(input.contiguous()));
    case LeafKind::kStrided:
      return mix(input).transpose(0, -1).contiguous().transpose(0, -1);
    case LeafKind::kChannelsLast:
      return mix(input).contiguous(torch::MemoryFormat::ChannelsLast);
    case LeafKind::kNoGraph:
      return mix(input).detach();
    case LeafKind::kConstant:
      // Not a view, so that nobody works in place on the parameter.
      return expand(constant_, input) + 1;
    case LeafKind::kIdentity:
      return input;
    case LeafKind::kNarrow:
      return input.narrow(dim_, input.size(dim_) - out_, out_);
    case LeafKind::kInfinite: {
      const auto mixed = mix(input);
      const auto large = input.mean(dim_, /*keepdim=*/true) > 0.5;
      return mixed.masked_fill(large, std::numeric_limits<double>::infinity());
    }
    case LeafKind::kMean: {
      auto sizes = input.sizes().vec();
      sizes[static_cast<size_t>(dim_)] = out_;
      return input.mean(dim_, /*keepdim=*/true).expand(sizes);
    }
    case LeafKind::kAffine:
      break;
  }
  return mix(input);
}

torch::Tensor LeafImpl::mix(const torch::Tensor& input) {
  return conv_ ? conv_->forward(input) : linear_->forward(input);
}

torch::Tensor LeafImpl::expand(
    const torch::Tensor& one, const torch::Tensor& input) {
  auto sizes = input.sizes().vec();
  sizes[static_cast<size_t>(dim_)] = out_;
  return form_ == Form::kImages ? one.view({out_, 1, 1}).expand(sizes)
                                : one.expand(sizes);
}

}  // namespace gatedpaths::differential
