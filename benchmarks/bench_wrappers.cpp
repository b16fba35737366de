// SPDX-License-Identifier: MIT
// What an open gate costs a call: each gated module around one child that costs
// nothing, beside the child alone and the `if` that one would write by hand.
#include "support/program.hpp"

#include <gatedpaths/gatedpaths.hpp>

#include <ATen/Parallel.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace {

namespace gp = gatedpaths;

/// Returns a tensor that it has. An Identity would not do: its output, being
/// the input, is copied.
struct ReturnsImpl : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& /*x*/) { return value; }

  torch::Tensor value = at::randn({4, 16}).requires_grad_();
};
TORCH_MODULE(Returns);

/// Checks that `call` hands on what `child` returns, and makes a row that times
/// it.
template <class Call>
void add_row(
    bench::Group& group, const Returns& child, std::string name, Call call) {
  const auto check = [call, child, name, before = std::move(group.check)] {
    if (before) {
      before();
    }
    const auto output = call(at::randn({4, 16}));
    TORCH_CHECK(
        output.is_same(child->value), name, ": expected its child's output");
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
  explicit HandGateImpl(Returns module)
      : child(register_module("child", std::move(module))) {}

  virtual torch::Tensor forward(const torch::Tensor& x) {
    return open ? child->forward(x) : at::zeros_like(x);
  }

  bool open = true;
  Returns child;
};
TORCH_MODULE(HandGate);

std::vector<bench::Group> make_groups(const bench::Settings& /*settings*/) {
  const auto call = [](auto module) {
    return [child = module.ptr()](const torch::Tensor& x) -> torch::Tensor {
      return child->forward(x);
    };
  };
  const Returns child;
  bench::Group group;
  add_row(group, child, "wrappers/bare", call(child));
  add_row(group, child, "wrappers/hand_gate", call(HandGate(child)));
  add_row(group, child, "wrappers/gated_branch", call(gp::GatedBranch(child)));
  add_row(
      group,
      child,
      "wrappers/choice_block",
      call(gp::ChoiceBlock({{"a", child}})));
  const gp::ConcatGate gate(gp::ConcatGateOptions(/*dim=*/1), {{"a", child}});
  add_row(group, child, "wrappers/concat_gate", call(gate));
  add_row(
      group,
      child,
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
