// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/branch_watch.hpp>
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/gated_branch.hpp>

#include <memory>
#include <string>

#include "support/catch.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::ChoiceBlockOptions;
using gatedpaths::GatedBranch;
using gatedpaths::GatedBranchOptions;
using gatedpaths::Skip;
using gatedpaths::detail::BranchWatch;
using gatedpaths::detail::WatchScope;

namespace {

// What it is told, as a text: "(" and the module's name, ")", "<" and ">".
class ToldWatch : public BranchWatch {
 public:
  std::string told;

 private:
  void enter(const torch::nn::Module& branch) override {
    told += "(" + branch.name().substr(branch.name().rfind(':') + 1);
  }
  void leave() noexcept override { told += ")"; }
  void pause() noexcept override { told += "<"; }
  void resume() noexcept override { told += ">"; }
};

template <class Gate>
std::string told_by(Gate& gate) {
  ToldWatch watch;
  {
    const WatchScope scope(watch);
    gate->forward(torch::ones({2, 3}));
  }
  gate->forward(torch::ones({2, 3}));  // nobody is told
  return watch.told;
}

struct Throws : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& /*x*/) {
    TORCH_CHECK(false, "as expected");
  }
};

}  // namespace

TEST_CASE("BranchWatch: sees the open branches", "[branch_watch]") {
  ChoiceBlock<> block(
      ChoiceBlockOptions().max_open(2),
      {{"a", torch::nn::Linear(3, 3)},
       {"b", torch::nn::Identity()},
       {"c", torch::nn::Linear(3, 3)}});
  block->set_open({0, 1});
  CHECK(told_by(block) == "(LinearImpl)(IdentityImpl)");
  GatedBranch<torch::nn::Linear> branch(torch::nn::Linear(3, 3));
  CHECK(told_by(branch) == "(LinearImpl)");
}

TEST_CASE(
    "BranchWatch: what runs without a trace is a pause", "[branch_watch]") {
  ChoiceBlock<> block(
      ChoiceBlockOptions().skip(Skip::kNoGrad),
      {{"a", torch::nn::Linear(3, 3)}, {"b", torch::nn::Identity()}});
  CHECK(told_by(block) == "(LinearImpl)<(IdentityImpl)>");
  GatedBranch<torch::nn::Linear> branch(
      torch::nn::Linear(3, 3), GatedBranchOptions().skip(Skip::kNoGrad));
  branch->set_open(false);
  CHECK(told_by(branch) == "<(LinearImpl)>");
}

TEST_CASE("BranchWatch: a run that throws ends too", "[branch_watch]") {
  ChoiceBlock<> block(
      {{"a", std::make_shared<Throws>()}, {"b", torch::nn::Identity()}});
  ToldWatch watch;
  const WatchScope scope(watch);
  CHECK_THROWS_AS(block->forward(torch::ones({2, 3})), c10::Error);
  CHECK(watch.told.starts_with("("));
  CHECK(watch.told.ends_with(")"));
  CHECK(BranchWatch::current() == &watch);
}
