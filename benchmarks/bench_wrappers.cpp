// SPDX-License-Identifier: MIT
// What an open gate costs a call: each gated module around one Identity, beside
// the Identity alone and the `if` that one would write by hand.
#include "support/program.hpp"

#include <gatedpaths/gatedpaths.hpp>

#include <ATen/Parallel.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>
#include <torch/nn/modules/linear.h>

#include <fmt/format.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace {

namespace gp = gatedpaths;
using torch::nn::Identity;

/// Checks that `call` hands its input on, and makes a row that times it.
template <class Call>
void add_row(bench::Group& group, std::string name, Call call) {
  const auto check = [call, name, before = std::move(group.check)] {
    if (before) {
      before();
    }
    const auto input = at::randn({4, 16}).requires_grad_();
    const auto output = call(input);
    TORCH_CHECK(output.equal(input), name, ": expected its input");
    output.sum().backward();
    TORCH_CHECK(
        input.grad().eq(1).all().template item<bool>(),
        name,
        ": expected a gradient of ones, got ",
        input.grad());
  };
  group.check = check;
  group.rows.push_back(
      {std::move(name),
       [call](benchmark::State& state) {
         at::set_num_threads(1);
         const auto input = at::randn({4, 16}).requires_grad_();
         benchmark::DoNotOptimize(call(input));
         for (auto _ : state) {
           benchmark::DoNotOptimize(call(input));
         }
       },
       benchmark::kNanosecond});
}

// Behind a virtual call, as a child of another module is.
struct HandGateImpl : torch::nn::Module {
  explicit HandGateImpl(Identity module)
      : child(register_module("child", std::move(module))) {}

  virtual torch::Tensor forward(const torch::Tensor& x) {
    return open ? child->forward(x) : at::zeros_like(x);
  }

  bool open = true;
  Identity child;
};
TORCH_MODULE(HandGate);

std::vector<bench::Group> make_groups(const bench::Settings& /*settings*/) {
  const auto call = [](auto module) {
    return [child = module.ptr()](const torch::Tensor& x) -> torch::Tensor {
      return child->forward(x);
    };
  };
  bench::Group group;
  add_row(group, "wrappers/bare", call(Identity()));
  add_row(group, "wrappers/hand_gate", call(HandGate(Identity())));
  add_row(group, "wrappers/gated_branch", call(gp::GatedBranch(Identity())));
  add_row(
      group,
      "wrappers/choice_block",
      call(gp::ChoiceBlock({{"a", Identity()}})));
  const gp::ConcatGate gate(
      gp::ConcatGateOptions(/*dim=*/1), {{"a", Identity()}});
  add_row(group, "wrappers/concat_gate", call(gate));
  add_row(
      group,
      "wrappers/concat_gate_slots",
      [gate = gate.ptr()](const torch::Tensor& x) -> torch::Tensor {
        return gate->forward_slots(x).at(0);
      });
  return {std::move(group)};
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_program(argc, argv, make_groups);
}
