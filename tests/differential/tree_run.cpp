// SPDX-License-Identifier: MIT
#include "differential/tree_run.hpp"

#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/paths/uniform_sampler.hpp>
#include <gatedpaths/training/open_optimizer.hpp>

#include "differential/compare.hpp"
#include "differential/forward_pass.hpp"
#include "differential/gated_net.hpp"
#include "differential/optimizers.hpp"
#include "differential/reference.hpp"
#include "differential/step.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "support/optimizer_state.hpp"
#include "support/snapshot.hpp"

namespace gatedpaths::differential {
namespace {

using test::Tensors;

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
    auto step = random_step(tree_, number);
    tolerance_ = tolerance_of(step.autocast ? torch::kBFloat16 : tree_.dtype);
    set_modes(step);
    if (step.clears == Clears::kBeforeForward) {
      clear_gradients();
    }
    std::vector<Outcome> actual;
    std::vector<Outcome> expected;
    for (uint64_t pass = 0; pass < step.passes; ++pass) {
      step.calls.seed += pass;
      set_gates(step, 2 * number + pass);
      net_.set_calls(step.calls);
      reference_.set_calls(step.calls);
      actual.push_back(forward_pass(tree_, step, pass, net_));
      expected.push_back(forward_pass(tree_, step, pass, reference_));
      ++counts_.forwards;
      ends = !check_forward(step, actual.back(), expected.back());
      if (ends || !found_.empty()) {
        return found_;
      }
    }
    if (step.clears == Clears::kBeforeBackward) {
      clear_gradients();
    }
    if (step.grad_mode == GradMode::kGrad) {
      backward(step, actual, expected);
    }
    return found_;
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
  }

  // False where both refused.
  bool check_forward(
      const Step& step, const Outcome& actual, const Outcome& expected) {
    if (!actual.error.empty() || !expected.error.empty()) {
      ++counts_.errors;
      const bool alike = actual.error.empty() == expected.error.empty();
      check(
          "error",
          alike ? ""
                : "expected '" + expected.error + "', got '" + actual.error +
                      "'");
      return false;
    }
    // Which zeros are promoted under autocast is another question.
    const auto dtype = expected.output.scalar_type();
    check(
        "output",
        difference(
            step.autocast ? actual.output.to(dtype) : actual.output,
            expected.output,
            tolerance_ * scale_of(expected.output)));
    // A view of a parameter that is made without a graph looks as if it had
    // one.
    const bool has_graph = expected.output.requires_grad();
    check(
        "graph",
        step.grad_mode == GradMode::kGrad &&
                actual.output.requires_grad() != has_graph
            ? (has_graph ? "expected one, got none" : "expected none, got one")
            : "");
    check(
        "memory",
        actual.is_entangled ? "the output and the input have some in common"
                            : "");
    check("random stream", bit_difference(actual.stream, expected.stream));
    check_draws();
    check_all(
        "parameter",
        parameters_of(net_.parts()),
        parameters_of(reference_.parts()),
        bit_difference);
    const auto buffers = buffers_of(net_.parts());
    const auto others = buffers_of(reference_.parts());
    check_all("buffer", buffers, others, [this](const auto& a, const auto& b) {
      return difference(a, b, tolerance_ * scale_of(b));
    });
    copy_values(buffers, others);  // so that nothing adds up
    return true;
  }

  void backward(
      const Step& step,
      const std::vector<Outcome>& actual,
      const std::vector<Outcome>& expected) {
    ++counts_.backwards;
    const auto error = backward_pass(step, actual);
    const auto wanted = backward_pass(step, expected);
    check(
        "backward",
        error == wanted ? ""
                        : "expected '" + wanted + "', got '" + error + "'");
    const auto own = parameters_of(net_.parts());
    const auto others = parameters_of(reference_.parts());
    if (!all_finite(others)) {
      // Times the zeros of dense sums they spread as they do not in slots, and
      // parameters of NaN would show nothing any more.
      clear_gradients();
      return;
    }
    // What cancels is as far off as its parts were.
    double scale = 1;
    for (const auto& parameter : others) {
      scale = std::max(scale, scale_of(parameter.grad()));
    }
    for (const auto& outcome : expected) {
      scale = std::max(scale, scale_of(outcome.leaf.grad()));
    }
    // Where nothing reaches the input, zeros and none are alike.
    const auto or_zeros = [&](const torch::Tensor& leaf) {
      return leaf.grad().defined() ? leaf.grad() : torch::zeros_like(leaf);
    };
    for (size_t i = 0; i < actual.size(); ++i) {
      check(
          "gradient of the input",
          difference(
              or_zeros(actual[i].leaf),
              or_zeros(expected[i].leaf),
              tolerance_ * scale));
    }
    for (size_t i = 0; i < own.size(); ++i) {
      const auto& gradient = own[i].grad();
      check(
          [&] { return "gradient of " + name_of(i); },
          difference(gradient, others[i].grad(), tolerance_ * scale));
      // What follows is the same to the bit where this is.
      others[i].mutable_grad() =
          gradient.defined() ? gradient.clone() : torch::Tensor();
    }
    steps_.step();
    plain_->step();
    check_all("stepped parameter", own, others, bit_difference);
    check_all(
        "optimizer state",
        test::optimizer_state(*optimizer_),
        test::optimizer_state(*plain_),
        bit_difference);
  }

  void clear_gradients() {
    steps_.zero_grad();
    plain_->zero_grad();
  }

  static bool all_finite(const Tensors& parameters) {
    return std::all_of(
        parameters.begin(), parameters.end(), [](const auto& parameter) {
          return !parameter.grad().defined() ||
                 parameter.grad().isfinite().all().template item<bool>();
        });
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
  double tolerance_ = 0;
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
