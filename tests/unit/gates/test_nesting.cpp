// SPDX-License-Identifier: MIT
// Gates in gates, in LibTorch's containers, and under a PathSpace.
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/paths/uniform_sampler.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/finite_difference.hpp"
#include "support/tensors.hpp"

using gatedpaths::AnyBranch;
using gatedpaths::ChoiceBlock;
using gatedpaths::ChoiceBlockOptions;
using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::DrawState;
using gatedpaths::GatedBranch;
using gatedpaths::GatedBranchOptions;
using gatedpaths::GatedModule;
using gatedpaths::PathSpace;
using gatedpaths::Skip;
using gatedpaths::UniformSampler;
using gatedpaths::test::all_zero;
using gatedpaths::test::bit_equal;
using gatedpaths::test::gradient_error;
using torch::nn::Linear;

namespace {

using Set = std::vector<int64_t>;

// A concatenation of two halves in a choice in a branch: [N, 4] -> [N, 4].
struct Nest {
  explicit Nest(Skip skip = Skip::kZeroFill)
      : cell(
            ConcatGateOptions(1).min_open(1).skip(skip),
            {{"left", Linear(4, 2)}, {"right", Linear(4, 2)}}),
        choice(
            ChoiceBlockOptions().skip(skip),
            {{"cell", cell}, {"tanh", torch::nn::Tanh()}}),
        branch(choice, GatedBranchOptions().skip(skip)) {}

  ConcatGate<> cell;
  ChoiceBlock<> choice;
  GatedBranch<ChoiceBlock<>> branch;
};

torch::Tensor nest_input() {
  torch::manual_seed(1);
  return torch::randn({3, 4});
}

// What a nest computes, by hand.
torch::Tensor nest_by_hand(
    const Nest& nest, const torch::Tensor& x, const std::string& path) {
  if (path == ".=") {
    return torch::zeros_like(x);
  }
  if (path.find("branch=tanh") != std::string::npos) {
    return x.tanh();
  }
  const auto part = [&](const std::string& name) {
    return nest.cell->is_open(name) ? nest.cell->branch(name).forward(x)
                                    : torch::zeros({x.size(0), 2}, x.options());
  };
  return torch::cat({part("left"), part("right")}, 1);
}

}  // namespace

TEST_CASE("Nesting: every path computes what it says", "[nesting][forward]") {
  const Skip skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  Nest nest(skip);
  const PathSpace space(nest.branch);
  REQUIRE(space.num_gates() == 3);
  CHECK(space.gate_name(0) == ".");
  CHECK(space.gate_name(1) == "branch");
  CHECK(space.gate_name(2) == "branch.cell");
  CHECK(
      &space.gate("branch.cell") == static_cast<GatedModule*>(nest.cell.get()));
  REQUIRE(space.size() == 5);

  const auto x = nest_input();
  std::set<std::string> texts;
  for (uint64_t i = 0; i < space.size(); ++i) {
    const auto path = space.at(i);
    const auto text = space.to_string(path);
    CAPTURE(skip, text);
    texts.insert(text);
    space.apply(path);
    CHECK(space.current() == path);
    CHECK(space.parse(text) == path);
    const auto output = nest.branch->forward(x);
    CHECK(bit_equal(output, nest_by_hand(nest, x, text)));
    nest.branch->zero_grad();
    if (!output.requires_grad()) {
      continue;
    }
    output.sum().backward();
    for (const std::string name : {"left", "right"}) {
      const auto& weight =
          nest.cell->branch(name).get<torch::nn::LinearImpl>().weight;
      CHECK(weight.grad().defined() == nest.cell->is_open(name));
    }
  }
  CHECK(
      texts == std::set<std::string>{
                   ".=",
                   ".=branch;branch=tanh",
                   ".=branch;branch=cell;branch.cell=left",
                   ".=branch;branch=cell;branch.cell=right",
                   ".=branch;branch=cell;branch.cell=left+right"});
}

TEST_CASE("Nesting: a path of one net fits its twin", "[nesting]") {
  Nest one;
  Nest two;
  const PathSpace first(one.branch);
  const PathSpace second(two.branch);
  CHECK(first.hash() == second.hash());
  second.apply(first.parse(".=branch;branch=cell;branch.cell=right"));
  CHECK(two.cell->open_branches() == Set{1});
  CHECK(
      second.to_string(second.current()) ==
      ".=branch;branch=cell;branch.cell=right");
}

TEST_CASE(
    "Nesting: gradients agree with finite differences", "[nesting][backward]") {
  const Skip skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  Nest nest(skip);
  nest.branch->to(torch::kDouble);
  nest.choice->select("cell");
  nest.cell->set_open({"right"});
  const auto x = nest_input().to(torch::kDouble).set_requires_grad(true);
  const auto loss = [&] { return nest.branch->forward(x).square().sum(); };
  loss().backward();
  CHECK(gradient_error(loss, x) < 1e-7);
  const auto& right = nest.cell->branch("right").get<torch::nn::LinearImpl>();
  CHECK(gradient_error(loss, right.weight) < 1e-7);
  CHECK(gradient_error(loss, right.bias) < 1e-7);
}

TEST_CASE(
    "Nesting: a training loop draws and applies in one line",
    "[nesting][random]") {
  torch::manual_seed(4);
  const Nest nest;
  const Linear head(4, 1);
  torch::nn::Sequential net(nest.branch, head);
  PathSpace space(net);
  UniformSampler sampler(space, /*seed=*/7);
  torch::optim::SGD optimizer(
      net->parameters(), torch::optim::SGDOptions(0.01).momentum(0.9));
  const auto x = torch::randn({32, 4});
  const auto target = x.sum(1, /*keepdim=*/true);

  std::map<std::string, double> first;
  std::map<std::string, double> last;
  for (int step = 0; step < 300; ++step) {
    space.apply(sampler.next());
    optimizer.zero_grad();
    const auto loss = torch::mse_loss(net->forward(x), target);
    loss.backward();
    optimizer.step();
    const auto text = space.to_string(space.current());
    first.try_emplace(text, loss.item<double>());
    last[text] = loss.item<double>();
  }
  REQUIRE(last.size() == 5);
  CHECK(last.count("0.branch=cell;0.branch.cell=left+right") == 0);
  const std::string whole = "0=branch;0.branch=cell;0.branch.cell=left+right";
  REQUIRE(last.count(whole) == 1);
  CHECK(last[whole] < 0.5 * first[whole]);
}

TEST_CASE(
    "Nesting: Sequential holds all gates, and gates hold Sequentials",
    "[nesting][forward]") {
  torch::manual_seed(4);
  ChoiceBlock block(
      torch::nn::Sequential(Linear(4, 4), torch::nn::ReLU()),
      torch::nn::Sequential(Linear(4, 4), torch::nn::Tanh()));
  static_assert(
      std::is_same_v<decltype(block), ChoiceBlock<torch::nn::Sequential>>);
  ConcatGate gate(ConcatGateOptions(1), Linear(4, 2), Linear(4, 3));
  GatedBranch branch{Linear(5, 5)};
  torch::nn::Sequential net(block, gate, branch);
  gate->set_open({1});
  block->select(1);
  branch->set_open(true);
  const auto x = nest_input();
  const auto hidden = block->branch(1)->forward(x);
  const auto features =
      torch::cat({torch::zeros({3, 2}), gate->branch(1)->forward(hidden)}, 1);
  CHECK(bit_equal(net->forward(x), branch->child()->forward(features)));

  // A container with gates is a branch like any other.
  ChoiceBlock outer({{"net", net}, {"fc", Linear(4, 5)}});
  CHECK(bit_equal(outer->forward(x), net->forward(x)));
  const PathSpace space(outer);
  CHECK(space.num_gates() == 4);
  CHECK(space.gate_name(3) == "net.2");
  outer->select("fc");
  CHECK(space.to_string(space.current()) == ".=fc");
}

TEST_CASE("Nesting: gates of gates are typed", "[nesting]") {
  ChoiceBlock inner(Linear(4, 4), Linear(4, 4));
  ChoiceBlock outer(inner, ChoiceBlock(Linear(4, 4), Linear(4, 4)));
  static_assert(
      std::is_same_v<decltype(outer), ChoiceBlock<ChoiceBlock<Linear>>>);
  CHECK(outer->branch(0).ptr() == inner.ptr());
  CHECK(outer->branch(1)->branch(1)->options.in_features() == 4);
  const auto x = nest_input();
  inner->select(1);
  CHECK(bit_equal(outer->forward(x), inner->branch(1)->forward(x)));
}

TEST_CASE(
    "Nesting: a gate in a closed branch draws nothing", "[nesting][random]") {
  // Neither by a probe, nor by a forward without a graph.
  const Skip skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  CAPTURE(skip);
  Nest nest(skip);
  nest.cell->set_open({"left"});
  nest.cell->draw_each_forward(/*seed=*/3);
  nest.choice->select("cell");
  const auto x = nest_input();

  const auto check_untouched = [&](uint64_t step, const Set& open) {
    CHECK(nest.cell->draw_state() == DrawState{3, step});
    CHECK(nest.cell->open_branches() == open);
  };
  nest.branch->set_open(false);
  CHECK(all_zero(nest.branch->forward(x)));
  check_untouched(0, {0});

  nest.branch->set_open(true);
  nest.branch->forward(x);
  const Set drawn = nest.cell->open_branches().vec();
  check_untouched(1, drawn);

  nest.branch->set_open(false);
  nest.branch->forward(x);
  nest.branch->forward(torch::randn({5, 4}));
  check_untouched(1, drawn);

  nest.branch->set_open(true);
  nest.choice->select("tanh");
  nest.branch->forward(x);
  check_untouched(1, drawn);
}

TEST_CASE("Nesting: prints as a tree", "[nesting][print]") {
  const Nest nest;
  std::ostringstream stream;
  stream << *nest.branch;
  CHECK(
      stream.str() ==
      "gatedpaths::GatedBranch(skip=kZeroFill, open=true)(\n"
      "  (branch): gatedpaths::ChoiceBlock(reduction=kSum, skip=kZeroFill, "
      "min_open=1, max_open=1, open=[cell])(\n"
      "    (cell): gatedpaths::ConcatGate(dim=1, skip=kZeroFill, min_open=1, "
      "max_open=2, open=[left, right])(\n"
      "      (left): torch::nn::Linear(in_features=4, out_features=2, "
      "bias=true)\n"
      "      (right): torch::nn::Linear(in_features=4, out_features=2, "
      "bias=true)\n"
      "    )\n"
      "    (tanh): torch::nn::Tanh()\n"
      "  )\n"
      ")");
}
