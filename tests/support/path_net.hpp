// SPDX-License-Identifier: MIT
// A network with gates of every kind, and what belongs to a path of it.
#pragma once

#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/slots/slot_batch_norm.hpp>
#include <gatedpaths/slots/slot_conv.hpp>
#include <gatedpaths/slots/slot_linear.hpp>

#include <torch/nn/cloneable.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace gatedpaths::test {

inline torch::nn::Conv2d same_conv(int64_t in, int64_t out, int64_t kernel) {
  return torch::nn::Conv2d(
      torch::nn::Conv2dOptions(in, out, kernel).padding(kernel / 2));
}

/// `[N, 3, 6, 6]` to `[N, 6]`: a choice of one or two with a choice inside, a
/// concatenation in slot form, a gated residual, one in dense form, and another
/// one in slot form, of as many branches as the dense one.
struct PathNetImpl : torch::nn::Cloneable<PathNetImpl> {
  PathNetImpl() { reset(); }

  void reset() override {
    namespace nn = torch::nn;
    stem = register_module(
        "stem",
        ChoiceBlock<>(
            ChoiceBlockOptions().max_open(2),
            {{"conv3", same_conv(3, 4, 3)},
             {"norm", nn::Sequential(same_conv(3, 4, 1), nn::BatchNorm2d(4))},
             {"inner",
              nn::Sequential(
                  ChoiceBlock<>(
                      {{"x", same_conv(3, 4, 1)}, {"y", same_conv(3, 4, 5)}}),
                  nn::ReLU())}}));
    wide = register_module(
        "wide",
        ConcatGate<>(
            ConcatGateOptions(1),
            {{"a", same_conv(4, 2, 1)},
             {"b", nn::Sequential(same_conv(4, 3, 1), nn::Dropout(0.5))},
             {"c", same_conv(4, 1, 3)}}));
    norm = register_module(
        "norm",
        SlotBatchNorm2d(
            SlotBatchNormOptions({2, 3, 1}, nn::BatchNormOptions(6))));
    conv = register_module(
        "conv",
        SlotConv2d(SlotConvOptions<2>(
            {2, 3, 1}, nn::Conv2dOptions(6, 4, 3).padding(1))));
    residual = register_module(
        "residual", GatedBranch<nn::Conv2d>(same_conv(4, 4, 3)));
    dense = register_module(
        "dense",
        ConcatGate<>(
            ConcatGateOptions(1).min_open(1),
            {{"d", same_conv(4, 1, 1)}, {"e", same_conv(4, 2, 3)}}));
    mix = register_module("mix", same_conv(3, 2, 1));
    tail = register_module(
        "tail",
        ConcatGate<nn::Linear>(
            ConcatGateOptions(1), nn::Linear(72, 5), nn::Linear(72, 3)));
    fc = register_module("fc", SlotLinear(SlotLinearOptions({5, 3}, 6)));
  }

  torch::Tensor forward(const torch::Tensor& input) {
    auto x = stem->forward(input);
    x = conv->forward(norm->forward(wide->forward_slots(x)));
    x = x + residual->forward(x.relu());
    x = mix->forward(dense->forward(x).relu());
    return fc->forward(tail->forward_slots(x.flatten(1)));
  }

  ChoiceBlock<> stem = nullptr;
  ConcatGate<> wide = nullptr;
  SlotBatchNorm2d norm = nullptr;
  SlotConv2d conv = nullptr;
  GatedBranch<torch::nn::Conv2d> residual = nullptr;
  ConcatGate<> dense = nullptr;
  torch::nn::Conv2d mix = nullptr;
  ConcatGate<torch::nn::Linear> tail = nullptr;
  SlotLinear fc = nullptr;
};
TORCH_MODULE(PathNet);

/// The elements of all parameters that a path of `PathNet` leaves, by names.
inline int64_t path_elements(
    const torch::nn::Module& net, const PathSpace& space, const Path& path) {
  std::vector<std::string> closed;
  for (int64_t gate = 0; gate < space.num_gates(); ++gate) {
    const auto open = path.reaches(gate) ? path.open_branches(gate).vec()
                                         : std::vector<int64_t>();
    const auto names = space.gate(gate).branch_names();
    for (size_t i = 0; i < names.size(); ++i) {
      if (std::count(open.begin(), open.end(), static_cast<int64_t>(i)) > 0) {
        continue;
      }
      const std::string& name = space.gate_name(gate);
      closed.push_back(name + "." + names[i] + ".");
      const auto slot = std::to_string(i);
      if (name == "wide") {
        closed.push_back("norm." + slot + ".");
        closed.push_back("conv.weight_" + slot);
      } else if (name == "tail") {
        closed.push_back("fc.weight_" + slot);
      }
    }
  }
  int64_t elements = 0;
  for (const auto& item : net.named_parameters()) {
    const bool is_closed =
        std::any_of(closed.begin(), closed.end(), [&](const auto& prefix) {
          return item.key().starts_with(prefix);
        });
    elements += is_closed ? 0 : item.value().numel();
  }
  return elements;
}

/// The elements of all parameters; one in several places counts once.
inline int64_t elements_of(const torch::nn::Module& net) {
  std::set<const void*> seen;
  int64_t elements = 0;
  for (const auto& parameter : net.parameters()) {
    if (seen.insert(parameter.unsafeGetTensorImpl()).second) {
      elements += parameter.numel();
    }
  }
  return elements;
}

}  // namespace gatedpaths::test
