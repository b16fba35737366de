// SPDX-License-Identifier: MIT
#include <gatedpaths/depth/layer_drop.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/search/evaluate.hpp>

#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <memory>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/evaluated_net.hpp"
#include "support/fake_gate.hpp"
#include "support/sample_gates.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::evaluate;
using gatedpaths::EvaluateOptions;
using gatedpaths::EvaluationBatch;
using gatedpaths::GatedModule;
using gatedpaths::LayerDrop;
using gatedpaths::Path;
using gatedpaths::PathResult;
using gatedpaths::PathSpace;
using gatedpaths::Stage;
using gatedpaths::test::all_paths;
using gatedpaths::test::FunctionChild;
using gatedpaths::test::Holder;
using gatedpaths::test::message_of;
using gatedpaths::test::small_batches;
using gatedpaths::test::StagedNet;
using torch::nn::Linear;
using torch::nn::Sequential;

namespace {

double output_sum(const torch::Tensor& output, const torch::Tensor&) {
  return output.sum(torch::kDouble).item<double>();
}

template <class Net>
std::vector<double> sums(
    Net&& net, const PathSpace& space, const EvaluateOptions& options) {
  std::vector<double> values;
  for (const PathResult& result : evaluate(
           net,
           space,
           all_paths(space),
           small_batches(),
           output_sum,
           options)) {
    values.push_back(result.values[0]);
  }
  return values;
}

std::string stage_refusal(
    StagedNet& net, const PathSpace& space, const std::vector<Stage>& stages) {
  return message_of<c10::ValueError>(
      [&] { sums(net, space, EvaluateOptions().stages(stages)); });
}

}  // namespace

TEST_CASE(
    "evaluate: gates inside branches belong to the gate around them",
    "[evaluate]") {
  torch::manual_seed(0);
  const auto inner = [] { return ChoiceBlock(Linear(4, 4), Linear(4, 4)); };
  ChoiceBlock<> first(Linear(4, 4), Sequential(inner(), inner()));
  ChoiceBlock<> second(Sequential(Linear(4, 4), inner()), Linear(4, 4));
  Sequential net(first, second);
  const PathSpace space(net);
  REQUIRE(space.size() == 15);
  int runs = 0;
  // Functions, so that nothing is known of the second stage's inner gate until
  // a path comes to it.
  const auto options = EvaluateOptions().stages(
      {[&](const torch::Tensor& x) { return first->forward(x); },
       [&](const torch::Tensor& x) {
         ++runs;
         return second->forward(x);
       }});
  CHECK(sums(net, space, options) == sums(net, space, {}));
  CHECK(runs == 1 + 2 * 15);
}

TEST_CASE(
    "evaluate: gates that do not run belong to the first stage", "[evaluate]") {
  torch::manual_seed(0);
  ChoiceBlock block(Linear(4, 4), Linear(4, 4));
  ChoiceBlock sometimes(Linear(4, 4), Linear(4, 4));
  Holder net;
  net.add("block", block.ptr());
  net.add("sometimes", sometimes.ptr());
  const PathSpace space(net);
  // It runs in the second stage with the block's other branch only.
  const auto stages = EvaluateOptions().stages(
      {[&](const torch::Tensor& x) { return block->forward(x); },
       [&](const torch::Tensor& x) {
         return block->is_open(1) ? sometimes->forward(x) : x;
       }});
  const auto whole = EvaluateOptions().stages({[&](const torch::Tensor& x) {
    const auto y = block->forward(x);
    return block->is_open(1) ? sometimes->forward(y) : y;
  }});
  const auto values = sums(net, space, stages);
  CHECK(values == sums(net, space, whole));
  CHECK(values[0] == values[1]);
  CHECK(values[2] != values[3]);
}

TEST_CASE("evaluate: a gate may run in several stages", "[evaluate]") {
  torch::manual_seed(0);
  ChoiceBlock block(Linear(4, 4), Linear(4, 4));
  ChoiceBlock middle(Linear(4, 4), Linear(4, 4));
  Sequential net(block, middle, block);
  const PathSpace space(net);
  REQUIRE(space.size() == 4);
  CHECK(
      sums(net, space, EvaluateOptions().stages({block, middle, block})) ==
      sums(net, space, {}));
}

TEST_CASE(
    "evaluate: a branch of a gate with many open sets runs once",
    "[evaluate]") {
  torch::manual_seed(0);
  std::vector<FunctionChild> logs;
  const auto branch = [&] {
    logs.push_back(
        FunctionChild([](const torch::Tensor& x) { return x.tanh(); }));
    return Sequential(Linear(4, 4), logs.back());
  };
  const auto runs = [&] {
    int64_t sum = 0;
    for (auto& log : logs) {
      sum += log->log.with(8);
    }
    return sum;
  };
  ChoiceBlock<> first(Linear(4, 4), Linear(4, 4));
  const auto check = [&](auto& gate, int64_t most_runs) {
    Sequential net(first, gate);
    const PathSpace space(net);
    const auto paths = all_paths(space);
    const std::vector<EvaluationBatch> batches = {small_batches()[0]};
    const auto values = [&](const EvaluateOptions& options) {
      std::vector<double> found;
      for (const auto& result :
           evaluate(net, space, paths, batches, output_sum, options)) {
        found.push_back(result.values[0]);
      }
      return found;
    };
    const auto expected = values({});
    const auto before = runs();
    const auto options = EvaluateOptions().stages({first, gate});
    CHECK(values(options) == expected);
    const auto kept = runs();
    CHECK(kept - before <= most_runs);
    CHECK(values(EvaluateOptions(options).keep_branches(false)) == expected);
    CHECK(runs() - kept > most_runs);
  };
  // Twice, once for each branch of the first block, and in the first run, which
  // is held against the whole network's.
  SECTION("of a ConcatGate") {
    gatedpaths::ConcatGate<> gate(
        gatedpaths::ConcatGateOptions(1), branch(), branch(), branch());
    check(gate, 2 * 3 + 2 * 3);
  }
  SECTION("of a ChoiceBlock") {
    ChoiceBlock<> gate(
        gatedpaths::ChoiceBlockOptions().min_open(1).max_open(3),
        branch(),
        branch(),
        branch());
    check(gate, 2 * 3 + 2 * 3);
  }
  SECTION("unless what follows changes it in place") {
    struct InPlace : torch::nn::Module {
      explicit InPlace(const ChoiceBlock<>& block)
          : gate(register_module("gate", block)) {}
      torch::Tensor forward(const torch::Tensor& x) {
        return gate->forward(x).mul_(2);
      }
      ChoiceBlock<> gate;
    };
    ChoiceBlock<> gate(
        gatedpaths::ChoiceBlockOptions().min_open(1).max_open(3),
        branch(),
        branch(),
        branch());
    auto net = std::make_shared<InPlace>(gate);
    // A set of one passes the very tensor on, which then runs again.
    check(net, 2 * (3 + 3) + 2 * 3);
  }
  SECTION("but not with gates in it") {
    ChoiceBlock<> gate(
        gatedpaths::ChoiceBlockOptions().min_open(1).max_open(2),
        ChoiceBlock<>(branch(), branch()),
        ChoiceBlock<>(branch(), branch()));
    Sequential net(gate);
    const PathSpace space(net);
    CHECK(
        sums(net, space, EvaluateOptions().stages({gate})) ==
        sums(net, space, {}));
  }
}

TEST_CASE(
    "evaluate: refuses stages that are not the network's",
    "[evaluate][error]") {
  StagedNet net(2);
  const PathSpace space(net);
  auto stages = net.stages();

  SECTION("one is missing") {
    stages.erase(stages.begin() + 1);
    CHECK(
        stage_refusal(net, space, stages) ==
        "evaluate: expected stages that compute what the network does, [8, 2] "
        "Float, got [8, 2] Float with other values for the path "
        "'block0=a;block1=a'");
    CHECK_NOTHROW(
        sums(net, space, EvaluateOptions().stages(stages).check_stages(false)));
  }
  SECTION("another shape") {
    stages.pop_back();
    CHECK(
        stage_refusal(net, space, stages) ==
        "evaluate: expected stages that compute what the network does, [8, 2] "
        "Float, got [8, 4] Float for the path 'block0=a;block1=a'");
  }
  SECTION("a gate that runs before the stage that it lies in") {
    stages[1] = Stage([&](const torch::Tensor& x) {
      return net.blocks[1]->forward(net.blocks[0]->forward(x));
    });
    CHECK(
        stage_refusal(net, space, stages) ==
        "evaluate: expected gate 'block1' to run in stage 2, whose module it "
        "lies in, or in a later one, got a run in stage 1; give the stages in "
        "the order in which they run");
  }
  SECTION("a module of another network, which is in training") {
    StagedNet other(1);
    stages[0] = Stage(other.stem);
    CHECK(
        stage_refusal(net, space, stages) ==
        "evaluate: expected stages whose modules are in eval mode, got '.' "
        "(torch::nn::SequentialImpl) of stage 0 in training mode: it lies "
        "outside of the network");
  }
  SECTION("one that puts the network into training mode") {
    stages[3] = Stage([&](const torch::Tensor& x) {
      net.blocks[1]->train();
      return net.head->forward(x);
    });
    CHECK(
        stage_refusal(net, space, stages) ==
        "evaluate: expected forwards that leave the network in eval mode, got "
        "'block1' in training mode");
    CHECK(net.is_training());
  }
  SECTION("one that works in place on its input") {
    stages[3] = Stage(
        [&](const torch::Tensor& x) { return net.head->forward(x.relu_()); });
    CHECK(
        stage_refusal(net, space, stages) ==
        "evaluate: expected stage 3 to leave its input as it is, since that is "
        "read again for the next path, got one that is changed in place; use "
        "layers that do not work in place, or a stage that copies its input "
        "first");
  }
  SECTION("one that returns nothing") {
    stages[1] = Stage([](const torch::Tensor&) { return torch::Tensor(); });
    CHECK(
        stage_refusal(net, space, stages) ==
        "evaluate: expected stage 1 to return a tensor, got an undefined one");
  }
  SECTION("an empty holder") {
    CHECK(message_of<c10::ValueError>([] {
            Stage(Linear(nullptr));
          }) == "Stage: expected a module, got an empty holder or pointer");
  }
}

TEST_CASE(
    "evaluate: refuses a network that works in place on the batch",
    "[evaluate][error]") {
  // Only the second branch does, so that the first run shows nothing of it.
  ChoiceBlock<> net(
      Linear(4, 4), torch::nn::ReLU(torch::nn::ReLUOptions().inplace(true)));
  const PathSpace space(net);
  const auto batches = small_batches();
  CHECK_THAT(
      message_of<c10::ValueError>(
          [&] { evaluate(net, space, all_paths(space), batches, output_sum); }),
      Catch::Matchers::StartsWith(
          "evaluate: expected stage 0 to leave its input as it is"));
}

TEST_CASE(
    "evaluate: refuses a metric that changes what is kept",
    "[evaluate][error]") {
  StagedNet net(1);
  const PathSpace space(net);
  const auto zero = [](const torch::Tensor& output, const torch::Tensor&) {
    output.zero_();
    return 0.0;
  };
  // The last stage's input has the memory of what the stage before it got.
  const auto view = [](const torch::Tensor& x) { return x.t(); };
  const auto stages = EvaluateOptions()
                          .stages({net.stem, net.blocks[0], view, view})
                          .check_stages(false);
  const auto paths = all_paths(space);
  CHECK(
      message_of<c10::ValueError>([&] {
        evaluate(net, space, paths, small_batches(), zero, stages);
      }) ==
      "evaluate: expected a metric that leaves the output as it is, since that "
      "has the memory of the last stage's input, got one that changes it in "
      "place");
  // Of an output that nobody keeps it may make what it likes.
  CHECK_NOTHROW(evaluate(
      net,
      space,
      paths,
      small_batches(),
      zero,
      EvaluateOptions().stages(net.stages())));
}

TEST_CASE(
    "evaluate: refuses gates that run something else than the path",
    "[evaluate][error]") {
  SECTION("with gates for each sample") {
    ChoiceBlock block(Linear(4, 4), Linear(4, 4));
    FunctionChild around([&](const torch::Tensor& x) {
      auto open = torch::zeros({x.size(0), 2}, torch::kBool);
      open.select(1, 1).fill_(true);
      return block->forward(x, open);
    });
    around->register_module("block", block.ptr());
    const PathSpace space(around);
    CHECK(
        message_of<c10::ValueError>([&] { sums(around, space, {}); }) ==
        "evaluate: expected gate 'block' to run the branches that the path "
        "opens ('0'), got a run of ('1'); a gate that draws in eval mode, or "
        "that gets gates for each sample, is no choice of a path: leave it out "
        "of the space (GateFilter)");
  }
  SECTION("but not those that draw in training alone") {
    LayerDrop net(
        gatedpaths::LayerDropOptions(0.5), Linear(4, 4), Linear(4, 4));
    const PathSpace space(
        net, [](std::string_view, const GatedModule&) { return true; });
    const auto values = sums(net, space, {});
    CHECK(values.size() == space.size());
    CHECK(net->draw_state()->step == 0);
  }
}
