// SPDX-License-Identifier: MIT
// Stochastic depth inside other modules.
#include <gatedpaths/depth/stochastic_depth.hpp>

#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/training/open_optimizer.hpp>

#include <torch/nn/cloneable.h>
#include <torch/nn/modules/container/any.h>
#include <torch/nn/modules/container/sequential.h>

#include <memory>

#include "support/catch.hpp"
#include "support/snapshot.hpp"
#include "support/stochastic_depth.hpp"
#include "support/tensors.hpp"

using gatedpaths::DrawState;
using gatedpaths::DropMode;
using gatedpaths::DropScale;
using gatedpaths::GatedBranch;
using gatedpaths::GatedBranchOptions;
using gatedpaths::OpenOptimizer;
using gatedpaths::PathSpace;
using gatedpaths::Skip;
using gatedpaths::StochasticDepth;
using gatedpaths::StochasticDepthOptions;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::all_defined;
using gatedpaths::test::bit_equal;
using gatedpaths::test::copies_of;
using gatedpaths::test::depth_block;
using gatedpaths::test::depth_options;
using gatedpaths::test::gradients_of;
using gatedpaths::test::kDepthRate;
using torch::nn::Linear;

namespace {

struct DepthParentImpl : torch::nn::Cloneable<DepthParentImpl> {
  DepthParentImpl() { reset(); }
  void reset() override {
    depth = register_module(
        "depth",
        StochasticDepth<Linear>(
            Linear(3, 3), StochasticDepthOptions(0.25).seed(3)));
  }
  StochasticDepth<Linear> depth = nullptr;
};

}  // namespace

TEST_CASE(
    "StochasticDepth: Sequential and AnyModule hold it",
    "[stochastic_depth][forward]") {
  StochasticDepth depth(Linear(3, 3), 0.5);
  StochasticDepth in_any(
      torch::nn::Sequential(Linear(3, 3)), StochasticDepthOptions(0.5));
  torch::nn::Sequential net(depth, in_any);
  torch::nn::AnyModule any{depth};
  net->eval();
  const auto x = torch::randn({2, 3});
  CHECK(bit_equal(any.forward(x), depth->forward(x)));
  CHECK(bit_equal(net->forward(x), in_any->forward(depth->forward(x))));
}

TEST_CASE(
    "StochasticDepth: a closed branch around it takes its draws back",
    "[stochastic_depth][random]") {
  auto block = depth_block();
  StochasticDepth depth(
      block, depth_options(DropMode::kRow, DropScale::kTrainInverse));
  GatedBranch branch(depth, GatedBranchOptions().skip(Skip::kNoGrad));
  const auto x = torch::randn({5, 3}, torch::kDouble);
  branch->forward(x);
  CHECK(depth->draw_state() == DrawState{7, 1});
  branch->set_open(false);
  branch->forward(x);
  CHECK(depth->draw_state() == DrawState{7, 1});
  CHECK(depth->drop_rate() == kDepthRate);
}

TEST_CASE(
    "StochasticDepth: OpenOptimizer leaves dropped branches alone",
    "[stochastic_depth][backward]") {
  torch::manual_seed(1);
  StochasticDepth first(
      Linear(3, 3), StochasticDepthOptions(0.5).mode(DropMode::kBatch).seed(1));
  StochasticDepth second(
      Linear(3, 3), StochasticDepthOptions(0.5).mode(DropMode::kBatch).seed(2));
  torch::nn::Sequential net(Linear(3, 3), first, second);
  const PathSpace space(
      net,
      [](std::string_view, const gatedpaths::GatedModule&) { return true; });
  torch::optim::SGD sgd(
      net->parameters(),
      torch::optim::SGDOptions(0.01).momentum(0.9).weight_decay(0.1));
  OpenOptimizer steps(net.ptr(), space, sgd);
  const auto x = torch::randn({4, 3});
  int dropped = 0;
  for (int i = 0; i < 40; ++i) {
    steps.zero_grad();
    net->forward(x).square().mean().backward();
    const auto before = copies_of(first->parameters());
    const bool ran = !first->ran_branches().empty();
    CHECK(all_defined(gradients_of(*first->child())) == ran);
    CHECK(space.ran().open_branches(0).size() == (ran ? 1U : 0U));
    steps.step();
    CHECK(all_bit_equal(first->parameters(), before) != ran);
    dropped += ran ? 0 : 1;
  }
  CHECK(dropped > 5);
  CHECK(dropped < 35);
}

TEST_CASE(
    "StochasticDepth: a Cloneable parent clones it deeply",
    "[stochastic_depth][clone]") {
  DepthParentImpl parent;
  parent.depth->set_drop_rate(0.5);
  const auto copy = std::dynamic_pointer_cast<DepthParentImpl>(parent.clone());
  REQUIRE(copy);
  CHECK(copy->depth.ptr() == copy->children().at(0));
  CHECK(copy->depth->drop_rate() == 0.5);
  CHECK(copy->depth->draw_state() == DrawState{3, 0});
  CHECK(all_bit_equal(copy->parameters(), parent.parameters()));
  copy->depth->set_drop_rate(0.75);
  CHECK(parent.depth->drop_rate() == 0.5);
  {
    const torch::NoGradGuard no_grad;
    copy->parameters()[0].fill_(9);
  }
  CHECK_FALSE(all_bit_equal(copy->parameters(), parent.parameters()));
}
