// SPDX-License-Identifier: MIT
#include <gatedpaths/exchange/reset_weights.hpp>
#include <gatedpaths/slots/slot_conv.hpp>
#include <gatedpaths/slots/slot_linear.hpp>

#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/adaptive.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/instancenorm.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/modules/rnn.h>
#include <torch/nn/modules/transformer.h>

#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace gatedpaths {
namespace {

struct ResetStep {
  torch::nn::Module& module;
  std::string name;
};

// Children first, as a module makes them before its own.
void collect_steps(
    torch::nn::Module& module,
    const std::string& name,
    std::unordered_set<const torch::nn::Module*>& seen,
    std::vector<ResetStep>& steps) {
  if (!seen.insert(&module).second) {
    return;
  }
  for (const auto& child : module.named_children()) {
    if (child.value() != nullptr) {
      collect_steps(
          *child.value(),
          name.empty() ? child.key() : name + "." + child.key(),
          seen,
          steps);
    }
  }
  steps.push_back({module, name});
}

template <class Impl, class Reset>
bool reset_as(torch::nn::Module& module, bool run, Reset reset) {
  auto* const typed = dynamic_cast<Impl*>(&module);
  if (typed != nullptr && run) {
    reset(*typed);
  }
  return typed != nullptr;
}

template <class... Impl>
bool reset_as_any_of(torch::nn::Module& module, bool run) {
  return (
      reset_as<Impl>(
          module, run, [](auto& typed) { typed.reset_parameters(); }) ||
      ...);
}

// Whether it is a module of a known class; its values are made where `run`.
bool reset_known(torch::nn::Module& module, bool run) {
  using namespace torch::nn;  // NOLINT
  return reset_as_any_of<
             LinearImpl,
             BilinearImpl,
             Conv1dImpl,
             Conv2dImpl,
             Conv3dImpl,
             ConvTranspose1dImpl,
             ConvTranspose2dImpl,
             ConvTranspose3dImpl,
             BatchNorm1dImpl,
             BatchNorm2dImpl,
             BatchNorm3dImpl,
             InstanceNorm1dImpl,
             InstanceNorm2dImpl,
             InstanceNorm3dImpl,
             LayerNormImpl,
             GroupNormImpl,
             EmbeddingImpl,
             EmbeddingBagImpl,
             TransformerImpl,
             AdaptiveLogSoftmaxWithLossImpl,
             SlotLinearImpl,
             SlotConvImpl<1>,
             SlotConvImpl<2>>(module, run) ||
         reset_as<torch::nn::detail::RNNImplBase<RNNImpl>>(
             module, run, [](auto& rnn) { rnn.reset_parameters(); }) ||
         reset_as<torch::nn::detail::RNNImplBase<LSTMImpl>>(
             module, run, [](auto& rnn) { rnn.reset_parameters(); }) ||
         reset_as<torch::nn::detail::RNNImplBase<GRUImpl>>(
             module, run, [](auto& rnn) { rnn.reset_parameters(); }) ||
         reset_as<torch::nn::detail::RNNCellImplBase<RNNCellImpl>>(
             module, run, [](auto& rnn) { rnn.reset_parameters(); }) ||
         reset_as<torch::nn::detail::RNNCellImplBase<LSTMCellImpl>>(
             module, run, [](auto& rnn) { rnn.reset_parameters(); }) ||
         reset_as<torch::nn::detail::RNNCellImplBase<GRUCellImpl>>(
             module, run, [](auto& rnn) { rnn.reset_parameters(); }) ||
         reset_as<MultiheadAttentionImpl>(
             module, run, [](auto& it) { it._reset_parameters(); }) ||
         reset_as<PReLUImpl>(
             module, run, [](auto& it) { it.weight.fill_(it.options.init()); });
}

bool has_own_parameters(const torch::nn::Module& module) {
  return !module.parameters(/*recurse=*/false).empty();
}

}  // namespace

void reset_weights(const NetworkRef& net, const WeightInitialiser& initialise) {
  std::unordered_set<const torch::nn::Module*> seen;
  std::vector<ResetStep> steps;
  collect_steps(net.module("reset_weights"), "", seen, steps);
  if (!initialise) {
    for (const ResetStep& step : steps) {
      TORCH_CHECK_VALUE(
          !has_own_parameters(step.module) ||
              reset_known(step.module, /*run=*/false),
          "reset_weights: expected an initialiser for '",
          step.name,
          "', a ",
          step.module.name(),
          " with parameters of its own, got none");
    }
  }
  const at::NoGradGuard no_grad;
  for (const ResetStep& step : steps) {
    if ((initialise && initialise(step.module)) ||
        reset_known(step.module, /*run=*/true)) {
      continue;
    }
    TORCH_CHECK_VALUE(
        !has_own_parameters(step.module),
        "reset_weights: expected an initialiser that knows '",
        step.name,
        "', a ",
        step.module.name(),
        " with parameters of its own, got one that does not");
  }
}

}  // namespace gatedpaths
