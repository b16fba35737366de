// SPDX-License-Identifier: MIT
// What closed branches do on one thread, and what another one draws meanwhile,
// as the workers of a data loader do.
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/learning/path_logits.hpp>
#include <gatedpaths/learning/two_path_estimator.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/slots/slot_linear.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/contract.hpp"
#include "support/snapshot.hpp"

using namespace gatedpaths;
using gatedpaths::test::bit_equal;
using gatedpaths::test::random_stream;

namespace {

torch::nn::Sequential noisy() {
  return torch::nn::Sequential(
      torch::nn::Dropout(0.5),
      torch::nn::Linear(3, 3),
      torch::nn::Dropout(0.5));
}

struct Work {
  std::string name;
  std::function<std::function<void()>()> start;
};

std::vector<Work> all_work() {
  const auto x = torch::ones({4, 3});
  return {
      {"a closed branch that runs",
       [x] {
         GatedBranch branch(
             noisy(),
             GatedBranchOptions()
                 .skip(Skip::kNoGrad)
                 .closed_value(ClosedValue::kDetached));
         branch->set_open(false);
         return [branch, x]() mutable { branch->forward(x); };
       }},
      {"a closed branch that runs in a concatenation",
       [x] {
         ConcatGate gate(
             ConcatGateOptions(1).skip(Skip::kNoGrad),
             {{"a", torch::nn::Linear(3, 3)}, {"b", noisy()}});
         gate->set_open({0});
         return [gate, x]() mutable { gate->forward(x); };
       }},
      {"probes",
       [] {
         GatedBranch branch(torch::nn::Dropout(0.5));
         branch->set_open(false);
         return [branch, size = int64_t{1}]() mutable {
           branch->forward(torch::ones({2, ++size}));
         };
       }},
      {"the second of two paths",
       [x] {
         auto net = std::make_shared<torch::nn::Module>();
         // The first thing to draw in the block is its own branch.
         ChoiceBlock block(
             {{"a", torch::nn::Linear(3, 3)}, {"b", torch::nn::Linear(3, 3)}});
         net->register_module("block", block);
         const PathSpace space(*net);
         PathLogits logits(space);
         auto estimator =
             std::make_shared<TwoPathEstimator>(logits, space, /*seed=*/1);
         return [net, block, logits, estimator, x]() mutable {
           estimator->apply();
           block->forward(x).sum().backward();
           estimator->finish_step();
         };
       }},
      {"a function of slots",
       [x] {
         ConcatGate gate(
             ConcatGateOptions(1),
             {{"a", torch::nn::Linear(3, 3)}, {"b", torch::nn::Linear(3, 3)}});
         gate->set_open({});
         return [gate, x]() mutable {
           gate->forward_slots(x).map(torch::nn::Dropout(0.5));
         };
       }},
      {"copies and conversions",
       [x] {
         SlotLinear layer(SlotLinearOptions({2, 3}, 4));
         GatedBranch branch(torch::nn::Linear(3, 3));
         return [layer, branch]() mutable {
           layer->clone();
           branch->clone();
           SlotLinear::from_dense(layer->to_dense(), {1, 4});
         };
       }},
  };
}

}  // namespace

TEST_CASE(
    "Contract: no number is drawn twice, whatever other threads do",
    "[contract][random][threads]") {
  constexpr int kNumbers = 3000;
  const size_t index = GENERATE(range(size_t{0}, all_work().size()));
  const auto work = all_work()[index];
  CAPTURE(work.name);
  const auto draw_all = [] {
    std::vector<double> numbers;
    for (int i = 0; i < kNumbers; ++i) {
      numbers.push_back(torch::rand({}, torch::kDouble).item<double>());
    }
    return numbers;
  };
  torch::manual_seed(12);
  const auto alone = draw_all();
  const auto end = random_stream();

  // What opens a branch draws from the stream itself; so the first turn is
  // taken before.
  auto turn = work.start();
  turn();
  torch::manual_seed(12);
  std::atomic<bool> done = false;
  std::vector<double> beside;
  std::thread loader([&] {
    beside = draw_all();
    done = true;
  });
  int turns = 0;
  while (!done) {
    turn();
    ++turns;
  }
  loader.join();
  CHECK(turns > 1);
  CHECK(beside == alone);
  CHECK(bit_equal(random_stream(), end));
}
