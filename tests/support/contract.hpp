// SPDX-License-Identifier: MIT
// What the tests of a closed branch's contract share.
#pragma once

#include <torch/nn/modules/conv.h>
#include <torch/types.h>

#include <cstdint>
#include <memory>

#include "support/catch.hpp"
#include "support/counting_child.hpp"
#include "support/wrappers.hpp"

namespace gatedpaths::test {

inline constexpr int64_t kContractSamples = 5;

inline auto contract_kinds() {
  return Catch::Generators::values(
      {Kind::kGatedBranch,
       Kind::kChoiceBlock,
       Kind::kConcatGate,
       Kind::kConcatSlots});
}

inline auto contract_skips() {
  return Catch::Generators::values({Skip::kZeroFill, Skip::kNoGrad});
}

inline torch::Tensor contract_input(
    int64_t samples = kContractSamples, int64_t size = 6) {
  torch::manual_seed(11);
  return torch::randn({samples, 3, size, size});
}

inline Wrapper contract_wrapper(
    Kind kind, const Closed& closed, bool training = true) {
  torch::manual_seed(1);
  Wrapper wrapper(kind, closed);
  wrapper.module->train(training);
  return wrapper;
}

/// A copy of the child that stands behind no gate, in the same mode.
inline std::shared_ptr<CountingChildImpl> bare_child(const Wrapper& wrapper) {
  auto bare =
      std::dynamic_pointer_cast<CountingChildImpl>(wrapper.child->clone());
  bare->train(wrapper.child->is_training());
  return bare;
}

inline torch::nn::Conv2d contract_conv(int64_t in = 3, int64_t out = 4) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).padding(1));
}

/// A consumer of some gate's output: without one nothing can be trained while
/// all is closed.
struct ContractNetImpl : torch::nn::Module {
  ContractNetImpl(Kind kind, const Closed& closed)
      : stem((torch::manual_seed(1), torch::nn::Conv2dOptions(3, 3, 1))),
        gate(kind, closed),
        head(kind == Kind::kConcatGate ? 8 : 4, 5) {
    register_module("stem", stem);
    register_module("gate", gate.module);
    register_module("head", head);
  }

  torch::Tensor forward(const torch::Tensor& input) {
    return head->forward(gate.forward(stem->forward(input)).mean({2, 3}));
  }

  torch::nn::Conv2d stem;
  Wrapper gate;
  torch::nn::Linear head;
};
TORCH_MODULE(ContractNet);

}  // namespace gatedpaths::test
