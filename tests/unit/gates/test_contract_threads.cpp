// SPDX-License-Identifier: MIT
// What closed branches do on one thread, and what another one does meanwhile:
// draw, as the workers of a data loader do, or train a copy of the network.
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/learning/path_logits.hpp>
#include <gatedpaths/learning/two_path_estimator.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/paths/uniform_sampler.hpp>
#include <gatedpaths/slots/slot_linear.hpp>
#include <gatedpaths/training/open_optimizer.hpp>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/optim/sgd.h>

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

torch::nn::Sequential block() {
  return torch::nn::Sequential(
      torch::nn::Linear(3, 3), torch::nn::BatchNorm1d(3), torch::nn::ReLU());
}

/// All three gates and a layer on slots.
struct TrainedNetImpl : torch::nn::Cloneable<TrainedNetImpl> {
  TrainedNetImpl() { reset(); }

  void reset() override {
    branch = register_module("branch", GatedBranch(block()));
    choice = register_module(
        "choice",
        ChoiceBlock<>(
            ChoiceBlockOptions().skip(Skip::kNoGrad),
            {{"a", block()}, {"b", block()}, {"c", block()}}));
    concat = register_module(
        "concat",
        ConcatGate<>(ConcatGateOptions(1), {{"a", block()}, {"b", block()}}));
    head = register_module("head", SlotLinear(SlotLinearOptions({3, 3}, 2)));
  }

  torch::Tensor forward(const torch::Tensor& input) {
    const auto features = choice->forward(input + branch->forward(input));
    return head->forward(concat->forward_slots(features));
  }

  GatedBranch<torch::nn::Sequential> branch = nullptr;
  ChoiceBlock<> choice = nullptr;
  ConcatGate<> concat = nullptr;
  SlotLinear head = nullptr;
};
TORCH_MODULE(TrainedNet);

/// Steps on paths and batches that the seed gives.
void train(TrainedNet net, uint64_t seed) {
  const PathSpace space(*net);
  UniformSampler sampler(space, seed);
  torch::optim::SGD sgd(
      net->parameters(), torch::optim::SGDOptions(0.05).momentum(0.9));
  OpenOptimizer steps(*net, space, sgd);
  auto generator = at::detail::createCPUGenerator(seed);
  for (int64_t step = 0; step < 12; ++step) {
    steps.apply(sampler.next());
    steps.zero_grad();
    const auto batch = torch::randn({3 + step % 3, 3}, generator);
    net->forward(batch).square().sum().backward();
    steps.step();
  }
}

}  // namespace

TEST_CASE(
    "Contract: copies of a network train on threads of their own",
    "[contract][threads]") {
  constexpr size_t kThreads = 3;
  const TrainedNet net;
  const auto copies = [&net] {
    std::vector<TrainedNet> result;
    for (size_t i = 0; i < kThreads; ++i) {
      result.emplace_back(
          std::dynamic_pointer_cast<TrainedNetImpl>(net->clone()));
    }
    return result;
  };
  const auto alone = copies();
  for (size_t i = 0; i < kThreads; ++i) {
    train(alone[i], i);
  }
  const auto together = copies();
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&together, i] { train(together[i], i); });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  for (size_t i = 0; i < kThreads; ++i) {
    CAPTURE(i);
    CHECK(gatedpaths::test::all_bit_equal(
        alone[i]->parameters(), together[i]->parameters()));
    CHECK(gatedpaths::test::all_bit_equal(
        alone[i]->buffers(), together[i]->buffers()));
    CHECK_FALSE(gatedpaths::test::all_bit_equal(
        net->parameters(), together[i]->parameters()));
  }
}

TEST_CASE(
    "Contract: no number is drawn twice, whatever other threads do",
    "[contract][random][threads]") {
  constexpr int kNumbers = 3000;
  const size_t index = GENERATE(range(size_t{0}, all_work().size()));
  const auto work = all_work()[index];
  CAPTURE(work.name);
  const auto draw_all = [](const auto& wait) {
    std::vector<double> numbers;
    for (int i = 0; i < kNumbers; ++i) {
      wait(i);
      numbers.push_back(torch::rand({}, torch::kDouble).item<double>());
    }
    return numbers;
  };
  torch::manual_seed(12);
  const auto alone = draw_all([](int) {});
  const auto end = random_stream();

  // What opens a branch draws from the stream itself; so the first turn is
  // taken before.
  auto turn = work.start();
  turn();
  torch::manual_seed(12);
  // The drawing does not run ahead of the turns, however busy the machine is.
  constexpr int kNumbersATurn = 100;
  std::atomic<bool> done = false;
  std::atomic<int> turns = 0;
  std::vector<double> beside;
  std::thread loader([&] {
    beside = draw_all([&](int drawn) {
      while (turns < drawn / kNumbersATurn) {
        std::this_thread::yield();
      }
    });
    done = true;
  });
  while (!done) {
    turn();
    ++turns;
  }
  loader.join();
  CHECK(turns >= kNumbers / kNumbersATurn - 1);
  CHECK(beside == alone);
  CHECK(bit_equal(random_stream(), end));
}
