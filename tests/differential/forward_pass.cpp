// SPDX-License-Identifier: MIT
#include "differential/forward_pass.hpp"

#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/autograd.h>

#include <optional>

#include "support/autocast.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

namespace gatedpaths::differential {
namespace {

// Whatever is done to the output of a gate, its input stays as it was.
bool is_entangled(Outcome& outcome) {
  const auto before = outcome.leaf.clone();
  const auto values = outcome.output.clone();
  outcome.output.fill_(3);
  outcome.output = values;
  return !test::bit_equal(outcome.leaf, before);
}

template <class Net>
Outcome run(const Tree& tree, const Step& step, uint64_t pass, Net& net) {
  Outcome outcome;
  torch::manual_seed(mixed({step.seed, pass}) >> 32U);
  try {
    const c10::InferenceMode inference(step.grad_mode == GradMode::kInference);
    const torch::AutoGradMode grad(step.grad_mode == GradMode::kGrad);
    std::optional<test::Autocast> autocast;
    if (step.autocast) {
      autocast.emplace();
    }
    outcome.leaf = input_leaf(tree, step);
    outcome.leaf.requires_grad_(
        step.grad_mode == GradMode::kGrad && step.input_wants_grad);
    outcome.output = net.forward(laid_out(tree, step, outcome.leaf));
    outcome.stream = test::random_stream();
    if (std::is_same_v<Net, GatedNet> && tree.root->is_gate() &&
        step.grad_mode != GradMode::kGrad &&
        outcome.output.is_non_overlapping_and_dense()) {
      outcome.is_entangled = is_entangled(outcome);
    }
  } catch (const c10::Error& error) {
    outcome.error = error.what_without_backtrace();
  }
  return outcome;
}

// The mean square of the gradient that reaches the input, with a graph.
torch::Tensor penalty(const torch::Tensor& loss, const torch::Tensor& leaf) {
  const auto gradients = torch::autograd::grad(
      {loss},
      {leaf},
      /*grad_outputs=*/{},
      /*retain_graph=*/true,
      /*create_graph=*/true,
      /*allow_unused=*/true);
  return gradients.front().defined() ? gradients.front().square().sum()
                                     : torch::Tensor();
}

}  // namespace

Outcome forward_pass(
    const Tree& tree, const Step& step, uint64_t pass, GatedNet& net) {
  return run(tree, step, pass, net);
}

Outcome forward_pass(
    const Tree& tree, const Step& step, uint64_t pass, Reference& net) {
  return run(tree, step, pass, net);
}

std::string backward_pass(
    const Step& step, const std::vector<Outcome>& outcomes) {
  torch::manual_seed(step.seed >> 32U);
  try {
    torch::Tensor loss;
    const auto add = [&loss](const torch::Tensor& more) {
      if (more.defined() && more.requires_grad()) {
        loss = loss.defined() ? loss + more : more;
      }
    };
    for (const auto& outcome : outcomes) {
      const auto& output = outcome.output;
      const auto weights = torch::randn(output.sizes(), torch::kDouble);
      add((output * weights.to(output.scalar_type())).sum());
    }
    if (step.second_order && step.input_wants_grad && loss.defined()) {
      const auto first = loss;
      for (const auto& outcome : outcomes) {
        add(penalty(first, outcome.leaf));
      }
    }
    if (loss.defined()) {
      loss.backward();
    }
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "";
}

}  // namespace gatedpaths::differential
