// SPDX-License-Identifier: MIT
#include <gatedpaths/learning/two_path_estimator.hpp>

#include <gatedpaths/gates/branch_weighting.hpp>

#include <cmath>
#include <set>
#include <sstream>

#include "support/catch.hpp"
#include "support/chi_square.hpp"
#include "support/counting_child.hpp"
#include "support/errors.hpp"
#include "support/learned_net.hpp"
#include "support/tensors.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::PathLogits;
using gatedpaths::PathSpace;
using gatedpaths::TwoPathEstimator;
using gatedpaths::test::bit_equal;
using gatedpaths::test::CountingChild;
using gatedpaths::test::deviations;
using gatedpaths::test::largest_difference;
using gatedpaths::test::LearnedNet;
using gatedpaths::test::message_of;
using gatedpaths::test::uneven_logits;
using torch::nn::Linear;

namespace {

// A block of five and logits that differ. So do the outputs, by more than what
// a weight decay of the logits could hide.
struct FiveBranches {
  FiveBranches() {
    const torch::NoGradGuard no_grad;
    double bias = 0;
    for (const auto& child : block->children()) {
      child->as<Linear>()->weight.zero_();
      child->as<Linear>()->bias.fill_(bias);
      bias += 3;
    }
    logits->to(torch::kDouble);
    logits->logits(0).copy_(
        torch::tensor({0.5, -1.0, 0.0, 1.0, -0.5}, torch::kDouble));
  }

  ChoiceBlock<Linear> block{
      Linear(2, 2), Linear(2, 2), Linear(2, 2), Linear(2, 2), Linear(2, 2)};
  PathSpace space{block};
  PathLogits logits{space};
};

}  // namespace

TEST_CASE(
    "TwoPathEstimator: draws two branches and then one of them",
    "[two_path_estimator][random]") {
  LearnedNet net;
  const PathSpace space(net);
  const auto logits = uneven_logits(space);
  TwoPathEstimator estimator(logits, space, 5);
  const auto p = logits->probabilities(0).detach();
  std::vector<double> probabilities;
  for (int64_t i = 0; i < 3; ++i) {
    for (int64_t j = 0; j < 3; ++j) {
      if (i != j) {
        const auto pair = p[i] * p[j] * (1 / (1 - p[i]) + 1 / (1 - p[j]));
        probabilities.push_back((pair * p[i] / (p[i] + p[j])).item<double>());
      }
    }
  }
  std::vector<int64_t> counts(6);
  for (int draw = 0; draw < 4000; ++draw) {
    estimator.apply();
    const auto& [active, other] = std::pair(
        net.first->weighting()->active, net.first->weighting()->other);
    ++counts[static_cast<size_t>(2 * active + other - (other > active))];
    estimator.finish_step();
  }
  CHECK(deviations(counts, probabilities) < 4);
}

TEST_CASE(
    "TwoPathEstimator: the other branches keep their probabilities",
    "[two_path_estimator][backward]") {
  const int draws = GENERATE(1, 3);
  FiveBranches net;
  TwoPathEstimator estimator(net.logits, net.space, 5);
  // Momentum and decay would move all logits.
  torch::optim::Adam optimizer(
      net.logits->parameters(),
      torch::optim::AdamOptions(0.1).weight_decay(0.1));
  for (int step = 0; step < 6; ++step) {
    const auto before = net.logits->logits(0).detach().clone();
    const auto p_before = before.softmax(0);
    std::set<int64_t> drawn;
    optimizer.zero_grad();
    for (int draw = 0; draw < draws; ++draw) {
      estimator.apply();
      drawn.insert(net.block->weighting()->active);
      drawn.insert(net.block->weighting()->other);
      estimator.objective(net.block->forward(torch::ones({1, 2})).sum())
          .backward();
    }
    optimizer.step();
    estimator.finish_step();
    const auto after = net.logits->logits(0).detach();
    const auto p_after = after.softmax(0);
    for (int64_t i = 0; i < 5; ++i) {
      CAPTURE(step, i);
      if (drawn.contains(i)) {
        CHECK(largest_difference(p_after[i], p_before[i]) > 1e-6);
      } else {
        CHECK(bit_equal(after[i], before[i]));
        CHECK(largest_difference(p_after[i], p_before[i]) < 1e-12);
      }
    }
  }
}

TEST_CASE(
    "TwoPathEstimator: gates inside the second branch are set, not learned",
    "[two_path_estimator][backward]") {
  torch::manual_seed(6);
  std::vector<CountingChild> children(4);
  ChoiceBlock left(children[0], children[1]);
  ChoiceBlock right(children[2], children[3]);
  ChoiceBlock outer({{"left", left}, {"right", right}});
  const PathSpace space(outer);
  PathLogits logits(space);
  {
    const torch::NoGradGuard no_grad;
    logits->logits("right").copy_(torch::tensor({-30.0F, 30.0F}));
    logits->logits("left").copy_(torch::tensor({-30.0F, 30.0F}));
  }
  TwoPathEstimator estimator(logits, space, 5);
  std::set<int64_t> actives;
  for (int step = 0; step < 8; ++step) {
    const auto path = estimator.apply();
    const int64_t active = path.open_branches(0)[0];
    actives.insert(active);
    logits->zero_grad();
    outer->forward(torch::ones({2, 3, 5, 5})).sum().backward();
    CHECK(logits->logits(0).grad().defined());
    CHECK(logits->logits("left").grad().defined() == (active == 0));
    CHECK(logits->logits("right").grad().defined() == (active == 1));
    // In each inner block the likely branch; its neighbour once more, in the
    // block that is on the path.
    CHECK(children[1]->log.size() == 1);
    CHECK(children[3]->log.size() == 1);
    CHECK(children[0]->log.size() == (active == 0 ? 1 : 0));
    CHECK(children[2]->log.size() == (active == 1 ? 1 : 0));
    for (auto& child : children) {
      child->log.clear();
    }
    estimator.finish_step();
  }
  CHECK(actives == std::set<int64_t>{0, 1});
}

TEST_CASE(
    "TwoPathEstimator: the second branch's output outlives an active branch "
    "that works in place",
    "[two_path_estimator][backward]") {
  const auto gradients = [](bool in_place) {
    torch::manual_seed(9);
    ChoiceBlock block(
        {{"identity", torch::nn::Identity()},
         {"relu", torch::nn::ReLU(torch::nn::ReLUOptions(in_place))}});
    const PathSpace space(block);
    PathLogits logits(space);
    TwoPathEstimator estimator(logits, space, 5);
    std::vector<torch::Tensor> all;
    for (int step = 0; step < 16; ++step) {
      estimator.apply();
      const auto x = torch::randn({2, 3});
      const auto scale = torch::randn({2, 3});
      if (block->weighting()->active == 1) {  // no closed branch works in place
        logits->zero_grad();
        (block->forward(x) * scale).sum().backward();
        all.push_back(logits->logits(0).grad().clone());
      }
      estimator.finish_step();
    }
    return torch::cat(all);
  };
  CHECK(bit_equal(gradients(true), gradients(false)));
}

TEST_CASE(
    "TwoPathEstimator: a closed branch that is not finite is an error, and "
    "reaches no logit",
    "[two_path_estimator][backward][error]") {
  const double bad = GENERATE(INFINITY, NAN);
  ChoiceBlock block(
      {{"identity", torch::nn::Identity()},
       {"bad", gatedpaths::test::FunctionChild([bad](const torch::Tensor& x) {
          return x * bad;
        })}});
  const PathSpace space(block);
  PathLogits logits(space);
  TwoPathEstimator estimator(logits, space, 5);
  int tried = 0;
  for (int step = 0; step < 16; ++step) {
    estimator.apply();
    if (block->weighting()->active == 0) {
      ++tried;
      const auto loss = block->forward(torch::ones({2, 3})).sum();
      CHECK(loss.item<double>() == 6);
      CHECK_THROWS_AS(loss.backward(), c10::Error);
      CHECK_FALSE(logits->logits(0).grad().defined());
    }
    estimator.finish_step();
  }
  CHECK(tried > 0);
}

TEST_CASE(
    "TwoPathEstimator: a gate of one branch has nothing to learn",
    "[two_path_estimator][forward]") {
  ChoiceBlock block(
      std::vector<gatedpaths::NamedBranch<Linear>>{{"only", Linear(2, 2)}});
  const PathSpace space(block);
  PathLogits logits(space);
  TwoPathEstimator estimator(logits, space, 5);
  CHECK(estimator.branches_run(0) == 1);
  estimator.apply();
  block->forward(torch::ones({1, 2})).sum().backward();
  CHECK_FALSE(logits->logits(0).grad().defined());
  estimator.finish_step();
}

TEST_CASE(
    "TwoPathEstimator: is saved between steps only",
    "[two_path_estimator][error]") {
  FiveBranches net;
  TwoPathEstimator estimator(net.logits, net.space, 5);
  estimator.apply();
  torch::serialize::OutputArchive archive;
  CHECK(
      message_of<c10::Error>([&] { estimator.save(archive); }) ==
      "TwoPathEstimator::save: expected a call of finish_step after apply, got "
      "none");
  estimator.finish_step();
  CHECK_NOTHROW(estimator.save(archive));
}
