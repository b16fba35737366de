// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/shape_state.hpp>

#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>

#include <cstdint>
#include <memory>
#include <vector>

#include "support/catch.hpp"
#include "support/counting_child.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::GatedBranch;
using gatedpaths::ShapeState;
using gatedpaths::test::CallLog;

namespace {

using Sizes = std::vector<int64_t>;

struct ElasticImpl : torch::nn::Cloneable<ElasticImpl>, ShapeState {
  ElasticImpl() { reset(); }

  void reset() override {
    weight = register_parameter("weight", torch::ones({8, 4}));
  }
  torch::Tensor forward(const torch::Tensor& x) {
    log.add(x, is_training());
    return torch::linear(x, weight.narrow(0, 0, width));
  }
  int64_t shape_state() const override { return width; }

  int64_t width = 8;
  torch::Tensor weight;
  CallLog log;
};
TORCH_MODULE(Elastic);

struct ElasticHolderImpl : torch::nn::Cloneable<ElasticHolderImpl> {
  ElasticHolderImpl() { reset(); }

  void reset() override { part = register_module("part", Elastic()); }
  torch::Tensor forward(const torch::Tensor& x) { return part->forward(x); }
  void replace(const Elastic& other) { part = replace_module("part", other); }

  Elastic part = nullptr;
};
TORCH_MODULE(ElasticHolder);

template <class Gate>
Sizes elastic_sizes(Gate& gate) {
  return gate->forward(torch::ones({3, 4})).sizes().vec();
}

}  // namespace

TEST_CASE("ShapeState: zeros have the width that is set", "[shapes][forward]") {
  Elastic child;
  GatedBranch branch(child);
  branch->set_open(false);
  for (int round = 0; round < 3; ++round) {
    for (const int64_t width : {8, 2, 5}) {
      child->width = width;
      CHECK(elastic_sizes(branch) == Sizes{3, width});
    }
    if (round == 0) {
      child->log.clear();
    }
  }
  CHECK(child->log.size() == 0);  // each width is known by then
}

TEST_CASE("ShapeState: counts at any depth of a branch", "[shapes][forward]") {
  ElasticHolder holder;
  Elastic inner = holder->part;
  torch::nn::Sequential outer{holder, torch::nn::ReLU()};
  GatedBranch branch(outer);
  branch->set_open(false);
  CHECK(elastic_sizes(branch) == Sizes{3, 8});
  inner->width = 3;
  CHECK(elastic_sizes(branch) == Sizes{3, 3});

  GatedBranch copy(
      std::dynamic_pointer_cast<decltype(branch)::Impl>(branch->clone()));
  CHECK(elastic_sizes(copy) == Sizes{3, 3});
  inner->width = 6;
  CHECK(elastic_sizes(branch) == Sizes{3, 6});
  CHECK(elastic_sizes(copy) == Sizes{3, 3});
}

TEST_CASE(
    "ShapeState: each branch of a gate has its own", "[shapes][forward]") {
  Elastic a;
  Elastic b;
  SECTION("side by side") {
    ConcatGate gate(ConcatGateOptions(1), {{"a", a}, {"b", b}});
    gate->set_open({0});
    for (const int64_t width : {8, 3, 8, 3}) {
      b->width = width;
      CHECK(elastic_sizes(gate) == Sizes{3, 8 + width});
    }
    CHECK(b->log.size() == 4);  // two probes for each width
  }
  SECTION("of which one is chosen") {
    ChoiceBlock block({{"a", a}, {"b", b}});
    for (const int64_t width : {8, 3, 8, 3}) {
      a->width = width;
      b->width = width;
      for (const int64_t open : {0, 1}) {
        block->select(open);
        CHECK(elastic_sizes(block) == Sizes{3, width});
      }
    }
    CHECK(a->log.size() == 4);
    CHECK(b->log.size() == 4);
  }
}

TEST_CASE(
    "ShapeState: a part that is replaced is found again", "[shapes][forward]") {
  ElasticHolder holder;
  GatedBranch branch(holder);
  branch->set_open(false);
  CHECK(elastic_sizes(branch) == Sizes{3, 8});
  Elastic narrow;
  narrow->width = 2;
  holder->replace(narrow);
  CHECK(elastic_sizes(branch) == Sizes{3, 2});
  narrow->width = 4;
  CHECK(elastic_sizes(branch) == Sizes{3, 4});
}
