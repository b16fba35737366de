// SPDX-License-Identifier: MIT
// The seed net: N like paths of convolutions of which one is open, three linear
// layers behind their concatenation. Once for each way of closing a path: as it
// is written by hand on LibTorch, and with the library.
#pragma once

#include <gatedpaths/gatedpaths.hpp>

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace bench {

/// One path: [N, 3, 32, 32] -> [N, 16 * width, 5, 5].
class SeedPathImpl : public torch::nn::Module {
 public:
  explicit SeedPathImpl(std::int64_t width);

  torch::Tensor forward(const torch::Tensor& images);

 private:
  torch::nn::Conv2d conv1_;
  torch::nn::Conv2d conv2_;
};
TORCH_MODULE(SeedPath);

/// The number of features that a path gives.
constexpr std::int64_t path_features(std::int64_t width) {
  return 16 * width * 5 * 5;
}

/// What all forms have: the layers behind the concatenation, and access to
/// those parts that the forms are compared by.
class SeedNet : public torch::nn::Module {
 public:
  /// Takes images [N, 3, 32, 32], gives logits [N, 10].
  virtual torch::Tensor forward(const torch::Tensor& images) = 0;

  /// The module of path `index`; null where this form has no such path.
  virtual const torch::nn::Module* path(std::int64_t index) const = 0;

  /// The weight of the first linear layer for the path's features, or its
  /// gradient (undefined where there is none): [120, path_features].
  virtual torch::Tensor slot_weight(std::int64_t index) const = 0;
  virtual torch::Tensor slot_gradient(std::int64_t index) const = 0;

  /// The first layer's bias and the layers behind it.
  virtual std::vector<torch::Tensor> head() const = 0;

 protected:
  SeedNet();

  /// From the first linear layer's output to the logits.
  torch::Tensor rest(const torch::Tensor& hidden);
  std::vector<torch::Tensor> head_of(const torch::Tensor& bias) const;

 private:
  torch::nn::Linear fc2_;
  torch::nn::Linear fc3_;
};

/// A net whose first linear layer is dense.
class DenseNet : public SeedNet {
 public:
  torch::Tensor slot_weight(std::int64_t index) const override;
  torch::Tensor slot_gradient(std::int64_t index) const override;
  std::vector<torch::Tensor> head() const override;

 protected:
  DenseNet(std::int64_t branches, std::int64_t width);

  torch::Tensor logits(const torch::Tensor& features);

 private:
  std::int64_t features_;
  torch::nn::Linear fc1_;
};

/// The limit: one path, and nothing that could be closed.
class BareNet : public DenseNet {
 public:
  explicit BareNet(std::int64_t width);

  torch::Tensor forward(const torch::Tensor& images) override;
  const torch::nn::Module* path(std::int64_t index) const override;

 private:
  SeedPath path_;
};

/// How a path is closed where that is written by hand.
enum class HandForm {
  kMask,       // every path runs, and is multiplied by its gate
  kNoGrad,     // closed paths run without a graph, zeros stand in for them
  kZeroFill,   // closed paths do not run; zeros of a shape that is written down
  kZerosLike,  // closed paths do not run; zeros_like(the open path's output)
};

class HandNet : public DenseNet {
 public:
  HandNet(HandForm form, std::int64_t branches, std::int64_t width);

  void open(std::int64_t index) { open_ = index; }
  torch::Tensor forward(const torch::Tensor& images) override;
  const torch::nn::Module* path(std::int64_t index) const override;

 private:
  std::vector<torch::Tensor> outputs(const torch::Tensor& images);

  HandForm form_;
  std::int64_t width_;
  std::vector<SeedPath> paths_;
  std::int64_t open_ = 0;
};

/// The library's gate, a dense layer behind it.
class GateNet : public DenseNet {
 public:
  GateNet(gatedpaths::Skip skip, std::int64_t branches, std::int64_t width);

  torch::Tensor forward(const torch::Tensor& images) override;
  const torch::nn::Module* path(std::int64_t index) const override;

 private:
  gatedpaths::ConcatGate<> paths_;
};

/// The library's gate, and slots from end to end.
class SlotNet : public SeedNet {
 public:
  SlotNet(std::int64_t branches, std::int64_t width);

  torch::Tensor forward(const torch::Tensor& images) override;
  const torch::nn::Module* path(std::int64_t index) const override;
  torch::Tensor slot_weight(std::int64_t index) const override;
  torch::Tensor slot_gradient(std::int64_t index) const override;
  std::vector<torch::Tensor> head() const override;

 private:
  gatedpaths::SlotLinear fc1_;
  gatedpaths::ConcatGate<> paths_;
};

/// Gives `to` the weights of `from`; where `to` has one path, those of `path`.
void copy_weights(
    const SeedNet& from,
    SeedNet& to,
    std::int64_t branches,
    std::optional<std::int64_t> path);

}  // namespace bench
