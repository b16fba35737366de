// SPDX-License-Identifier: MIT
#include "momentum.hpp"

#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <string>
#include <type_traits>
#include <utility>

namespace cifar10 {
namespace {

using gatedpaths::StateDict;
using torch::optim::SGDParamState;

std::string describe(const torch::Tensor& tensor) {
  return tensor.defined() ? fmt::format(
                                "[{}] {}",
                                fmt::join(tensor.sizes(), ", "),
                                c10::toString(tensor.scalar_type()))
                          : "no tensor";
}

}  // namespace

StateDict momentum_of(
    const torch::nn::Module& net, torch::optim::SGD& optimizer) {
  StateDict momentum;
  for (const auto& item : net.named_parameters()) {
    const auto state =
        optimizer.state().find(item.value().unsafeGetTensorImpl());
    if (state != optimizer.state().end()) {  // it was stepped
      momentum.insert(
          item.key(),
          static_cast<const SGDParamState&>(*state->second).momentum_buffer());
    }
  }
  return momentum;
}

StateDict read_momentum(
    const torch::nn::Module& net, torch::serialize::InputArchive& archive) {
  const auto parameters = gatedpaths::slots_to_dense(net);
  StateDict momentum;
  for (const auto& name : archive.keys()) {
    const auto* parameter = parameters.find(name);
    TORCH_CHECK_VALUE(
        parameter != nullptr,
        "momentum: expected that of a parameter of the net, got that of '",
        name,
        "'");
    torch::Tensor value;
    archive.try_read(name, value);
    TORCH_CHECK_VALUE(
        value.defined() && value.sizes() == parameter->sizes() &&
            value.scalar_type() == parameter->scalar_type(),
        "momentum of '",
        name,
        "': expected ",
        describe(*parameter),
        ", got ",
        describe(value));
    momentum.insert(name, value);
  }
  return gatedpaths::split_slots(net, momentum);
}

void set_momentum(
    const torch::nn::Module& net,
    torch::optim::SGD& optimizer,
    const StateDict& momentum) {
  const torch::NoGradGuard no_grad;
  const auto parameters = net.named_parameters();
  std::remove_cvref_t<decltype(optimizer.state())> states;
  for (const auto& item : momentum) {
    const auto& parameter = parameters[item.key()];
    auto state = std::make_unique<SGDParamState>();
    state->momentum_buffer(torch::empty_like(parameter).copy_(item.value()));
    states[parameter.unsafeGetTensorImpl()] = std::move(state);
  }
  optimizer.state() = std::move(states);
}

}  // namespace cifar10
