// SPDX-License-Identifier: MIT
#include "differential/tree_run.hpp"

#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/paths/uniform_sampler.hpp>
#include <gatedpaths/training/open_optimizer.hpp>

#include "differential/compare.hpp"
#include "differential/gated_net.hpp"
#include "differential/optimizers.hpp"
#include "differential/reference.hpp"
#include "differential/step.hpp"

#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <exception>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "support/optimizer_state.hpp"
#include "support/snapshot.hpp"

namespace gatedpaths::differential {
namespace {

using test::Tensors;

// What a forward gave, or why it did not.
struct Outcome {
  torch::Tensor leaf;
  torch::Tensor output;
  torch::Tensor stream;
  std::string error;
};

class TreeRun {
 public:
  TreeRun(const Tree& tree, Counts& counts)
      : tree_(tree),
        counts_(counts),
        net_((torch::manual_seed(tree.seed), tree)),
        reference_(tree, net_.parts()),
        space_(net_.module()),
        sampler_(space_, tree.seed),
        optimizer_(random_optimizer(net_.module()->parameters(), tree.seed)),
        plain_(random_optimizer(of_reference(), tree.seed)),
        steps_(net_.module(), space_, *optimizer_) {
    for (int64_t i = 0; i < space_.num_gates(); ++i) {
      for (const auto& [id, gate] : net_.gates()) {
        if (gate == &space_.gate(i)) {
          gate_ids_.push_back(id);
        }
      }
    }
    ++counts.trees;
    counts.gates += static_cast<int64_t>(net_.gates().size());
  }

  // Empty where both agree. `ends` where both refused.
  std::string step(uint64_t number, bool& ends) {
    const auto step = random_step(tree_, number);
    ++counts_.steps;
    set_gates(step, number);
    set_modes(step);
    if (step.clears_gradients) {
      steps_.zero_grad();
      plain_->zero_grad();
    }
    const auto actual = forward(step, net_);
    const auto expected = forward(step, reference_);
    if (!actual.error.empty() || !expected.error.empty()) {
      ends = true;
      ++counts_.errors;
      const bool alike = actual.error.empty() == expected.error.empty();
      return alike ? ""
                   : "expected error '" + expected.error + "'\ngot error '" +
                         actual.error + "'";
    }
    check("output", difference(actual.output, expected.output));
    check("graph", [&] {
      // A view of a parameter that is made without a graph looks as if it had
      // one.
      return step.grad_mode != GradMode::kGrad ||
                     actual.output.requires_grad() ==
                         expected.output.requires_grad()
                 ? ""
             : expected.output.requires_grad() ? "expected one, got none"
                                               : "expected none, got one";
    }());
    check("random stream", bit_difference(actual.stream, expected.stream));
    check_all(
        "buffer",
        buffers_of(net_.parts()),
        buffers_of(reference_.parts()),
        difference);
    check_draws();
    if (found_.empty() && step.grad_mode == GradMode::kGrad &&
        actual.output.requires_grad()) {
      backward(step, actual, expected);
    }
    copy_values(buffers_of(net_.parts()), buffers_of(reference_.parts()));
    return std::exchange(found_, {});
  }

 private:
  // The reference's parameters in the order of the network's, as often as the
  // network names them.
  Tensors of_reference() {
    const auto own = parameters_of(net_.parts());
    const auto others = parameters_of(reference_.parts());
    std::map<const void*, torch::Tensor> pairs;
    for (size_t i = 0; i < own.size(); ++i) {
      pairs[own[i].unsafeGetTensorImpl()] = others[i];
    }
    Tensors result;
    for (const auto& parameter : net_.module()->parameters()) {
      result.push_back(pairs.at(parameter.unsafeGetTensorImpl()));
    }
    return result;
  }

  void set_gates(const Step& step, uint64_t number) {
    if (step.applies_path) {
      const auto path = sampler_.at(number);
      steps_.apply(path);
      for (const auto& [gate, open] : path) {
        reference_.set_open(gate_ids_[static_cast<size_t>(gate)], open.vec());
      }
    }
    // Those that are no part of a space are set by hand.
    Dice dice(mixed({step.seed, 4}));
    for_each_node(tree_.root, [&](const Node& node) {
      if (!node.is_gate() || node.kind == NodeKind::kStochasticDepth ||
          std::find(gate_ids_.begin(), gate_ids_.end(), node.id) !=
              gate_ids_.end() ||
          !dice.chance(0.3)) {
        return;
      }
      std::vector<int64_t> open;
      const auto count = dice.between(node.min_open, node.max_open);
      const auto branches = static_cast<int64_t>(node.children.size());
      for (int64_t i = 0; i < branches; ++i) {
        const auto missing = count - static_cast<int64_t>(open.size());
        if (dice.below(branches - i) < missing) {
          open.push_back(i);
        }
      }
      net_.gates().at(node.id)->set_open(c10::IntArrayRef(open));
      reference_.set_open(node.id, open);
    });
  }

  void set_modes(const Step& step) {
    net_.module()->train(step.training);
    reference_.train(step.training);
    for (const auto* parts : {&net_.parts(), &reference_.parts()}) {
      for (const auto& [id, own] : *parts) {
        if (own.leaf) {
          own.leaf.ptr()->train(step.training != step.other_mode.contains(id));
        }
      }
    }
    net_.set_calls(step.calls);
    reference_.set_calls(step.calls);
  }

  template <class Net>
  Outcome forward(const Step& step, Net& net) {
    Outcome outcome;
    torch::manual_seed(step.seed);
    try {
      const c10::InferenceMode inference(
          step.grad_mode == GradMode::kInference);
      const torch::AutoGradMode grad(step.grad_mode == GradMode::kGrad);
      outcome.leaf = input_leaf(tree_, step);
      outcome.leaf.requires_grad_(
          step.grad_mode == GradMode::kGrad && step.input_wants_grad);
      outcome.output = net.forward(laid_out(tree_, step, outcome.leaf));
    } catch (const c10::Error& error) {
      outcome.error = error.what_without_backtrace();
    }
    outcome.stream = test::random_stream();
    return outcome;
  }

  void backward(
      const Step& step, const Outcome& actual, const Outcome& expected) {
    ++counts_.backwards;
    torch::manual_seed(step.seed + 1);
    const auto gradient = torch::randn_like(expected.output.detach());
    const auto error = backward_error(actual.output, gradient);
    const auto wanted = backward_error(expected.output, gradient);
    check(
        "backward",
        error == wanted
            ? ""
            : "expected error '" + wanted + "', got '" + error + "'");
    // Where nothing reaches the input, zeros and none are alike.
    const auto or_zeros = [&](const torch::Tensor& leaf) {
      return leaf.grad().defined() ? leaf.grad() : torch::zeros_like(leaf);
    };
    check(
        "gradient of the input",
        difference(or_zeros(actual.leaf), or_zeros(expected.leaf)));
    const auto own = parameters_of(net_.parts());
    const auto others = parameters_of(reference_.parts());
    for (size_t i = 0; i < own.size(); ++i) {
      check(
          [&] { return "gradient of " + name_of(i); },
          difference(own[i].grad(), others[i].grad()));
      // What follows is the same to the bit where this is.
      others[i].mutable_grad() =
          own[i].grad().defined() ? own[i].grad().clone() : torch::Tensor();
    }
    steps_.step();
    plain_->step();
    check_all("parameter", own, others, bit_difference);
    check_all(
        "optimizer state",
        test::optimizer_state(*optimizer_),
        test::optimizer_state(*plain_),
        bit_difference);
  }

  static std::string backward_error(
      const torch::Tensor& output, const torch::Tensor& gradient) {
    try {
      output.backward(gradient);
    } catch (const c10::Error& error) {
      return error.what_without_backtrace();
    }
    return "";
  }

  void check_draws() {
    for (auto& [id, oracle] : reference_.oracles()) {
      const auto expected = oracle.states();
      const auto actual = draw_states_of(*net_.gates().at(id));
      check(
          [&] { return "draws of #" + std::to_string(id); },
          actual == expected ? "" : "another step than by itself");
    }
  }

  template <class Compare>
  void check_all(
      const char* what,
      const Tensors& actual,
      const Tensors& expected,
      const Compare& compare) {
    for (size_t i = 0; i < actual.size(); ++i) {
      check(
          [&] { return what + (" " + std::to_string(i)); },
          compare(actual[i], expected[i]));
    }
  }

  void check(const char* what, const std::string& text) {
    check([&] { return std::string(what); }, text);
  }
  template <class What>
  void check(const What& what, const std::string& text) {
    ++counts_.tensors;
    if (!text.empty() && found_.empty()) {
      found_ = what() + ": " + text;
    }
  }

  // Of the i-th of all parameters.
  std::string name_of(size_t i) const {
    for (const auto& [id, parts] : net_.parts()) {
      const auto count = parts.parameters().size();
      if (i < count) {
        return "parameter " + std::to_string(i) + " of #" + std::to_string(id);
      }
      i -= count;
    }
    return "";
  }

  Tree tree_;
  Counts& counts_;
  GatedNet net_;
  Reference reference_;
  PathSpace space_;
  UniformSampler sampler_;
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
  std::unique_ptr<torch::optim::Optimizer> plain_;
  OpenOptimizer steps_;
  std::vector<int64_t> gate_ids_;  // of the gates of the space
  std::string found_;
};

}  // namespace

std::optional<Difference> run_tree(
    const Tree& tree, uint64_t steps, Counts& counts) {
  TreeRun run(tree, counts);
  bool ends = false;
  for (uint64_t number = 0; number < steps && !ends; ++number) {
    auto text = run.step(number, ends);
    if (!text.empty()) {
      return Difference{number, std::move(text)};
    }
  }
  return std::nullopt;
}

}  // namespace gatedpaths::differential
