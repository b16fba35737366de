// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/sample_capacity.hpp>

#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/chi_square.hpp"
#include "support/errors.hpp"
#include "support/sample_gates.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::ChoiceBlockImpl;
using gatedpaths::ChoiceBlockOptions;
using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::DrawState;
using gatedpaths::GatedBranch;
using gatedpaths::GatedBranchOptions;
using gatedpaths::Overflow;
using gatedpaths::Skip;
using gatedpaths::test::all_zero;
using gatedpaths::test::bit_equal;
using gatedpaths::test::deviations_from_uniform;
using gatedpaths::test::mask_of;
using gatedpaths::test::message_of;
using gatedpaths::test::random_stream;
using torch::nn::Identity;
using torch::nn::Linear;

namespace {

using Set = std::vector<int64_t>;

GatedBranch<Identity> capacity_branch(int64_t capacity, uint64_t seed = 3) {
  return GatedBranch<Identity>(
      Identity(),
      GatedBranchOptions()
          .capacity(capacity)
          .overflow(Overflow::kDrop)
          .capacity_seed(seed));
}

}  // namespace

TEST_CASE("SampleCapacity: overflow has a name", "[sample_capacity]") {
  std::ostringstream stream;
  stream << Overflow::kRefuse << " " << Overflow::kDrop;
  CHECK(stream.str() == "kRefuse kDrop");
}

TEST_CASE(
    "SampleCapacity: more samples than it are refused by default",
    "[sample_capacity][error]") {
  ChoiceBlock block(ChoiceBlockOptions().capacity(2), Identity(), Identity());
  const auto x = torch::ones({4, 1});
  CHECK(bit_equal(block->forward(x, mask_of({"10", "01", "10", "01"})), x));
  CHECK(
      message_of<c10::ValueError>(
          [&] { block->forward(x, mask_of({"01", "01", "10", "01"})); }) ==
      "ChoiceBlock::forward: expected at most 2 samples, the capacity, for "
      "branch 1 ('1'), got 3");
  CHECK(bit_equal(block->forward(x), x));  // not with the block's own gates
  CHECK_FALSE(block->capacity_state().has_value());
}

TEST_CASE(
    "SampleCapacity: dropped samples are closed for the branch",
    "[sample_capacity][forward][backward]") {
  ChoiceBlock<> block(
      ChoiceBlockOptions()
          .capacity(2)
          .overflow(Overflow::kDrop)
          .max_open(2)
          .reduction(gatedpaths::Reduction::kMean),
      {{"a", Identity()}, {"b", Identity()}});
  const auto x = torch::ones({5, 1}).requires_grad_();
  const auto output =
      block->forward(x, mask_of({"10", "10", "10", "11", "10"}));
  const auto kept = block->ran_samples(0).vec();
  REQUIRE(kept.size() == 2);
  CHECK(std::is_sorted(kept.begin(), kept.end()));
  CHECK(block->ran_samples(1) == Set{3});
  output.sum().backward();
  for (int64_t i = 0; i < 5; ++i) {
    // Sample 3 runs in b in any case; the mean is over what ran.
    const bool runs =
        i == 3 || std::find(kept.begin(), kept.end(), i) != kept.end();
    CHECK(output[i].item<float>() == (runs ? 1 : 0));
    CHECK(x.grad()[i].item<float>() == (runs ? 1 : 0));
  }
}

TEST_CASE(
    "SampleCapacity: every set of samples that may stay is as likely",
    "[sample_capacity][random]") {
  constexpr int kForwards = 6000;
  auto branch = capacity_branch(2);
  const auto x = torch::ones({6, 1});
  const auto open = mask_of({"1", "1", "0", "1", "1", "1"}, true);
  std::map<Set, int64_t> counts;
  const auto stream = random_stream();
  for (int i = 0; i < kForwards; ++i) {
    branch->forward(x, open);
    ++counts[branch->ran_samples().vec()];
  }
  CHECK(bit_equal(random_stream(), stream));
  std::vector<int64_t> observed;
  for (const auto& [kept, count] : counts) {
    CHECK(std::find(kept.begin(), kept.end(), 2) == kept.end());
    observed.push_back(count);
  }
  REQUIRE(observed.size() == 10);
  CHECK(deviations_from_uniform(observed) < 4);
}

TEST_CASE(
    "SampleCapacity: branches and seeds draw on their own",
    "[sample_capacity][random]") {
  constexpr int kForwards = 4000;
  const auto concat = [](uint64_t seed) {
    return ConcatGate(
        ConcatGateOptions(1)
            .capacity(1)
            .overflow(Overflow::kDrop)
            .capacity_seed(seed),
        Identity(),
        Identity());
  };
  auto gate = concat(0);
  auto other = concat(4);
  auto same = concat(0);
  const auto x = torch::ones({2, 1});
  const auto open = torch::ones({2, 2}, torch::kBool);
  std::vector<int64_t> pairs(4, 0);
  std::vector<int64_t> seeds(4, 0);
  for (int i = 0; i < kForwards; ++i) {
    gate->forward(x, open);
    other->forward(x, open);
    same->forward(x, open);
    const auto a = gate->ran_samples(0)[0];
    ++pairs[static_cast<size_t>(2 * a + gate->ran_samples(1)[0])];
    ++seeds[static_cast<size_t>(2 * a + other->ran_samples(0)[0])];
    REQUIRE(same->ran_samples(0)[0] == a);  // seed, step and branch alone count
  }
  CHECK(deviations_from_uniform(pairs) < 4);
  CHECK(deviations_from_uniform(seeds) < 4);
}

TEST_CASE(
    "SampleCapacity: one seed for it and for the gate is two streams",
    "[sample_capacity][random]") {
  constexpr int64_t kBranches = 4;
  constexpr uint64_t kSeed = 5;
  ChoiceBlock block(
      ChoiceBlockOptions()
          .capacity(1)
          .overflow(Overflow::kDrop)
          .capacity_seed(kSeed),
      Identity(),
      Identity(),
      Identity(),
      Identity());
  block->draw_each_forward(kSeed);
  const auto x = torch::ones({kBranches, 1});
  const auto to_first = mask_of({"1000", "1000", "1000", "1000"});
  std::vector<int64_t> pairs(kBranches * kBranches, 0);
  for (int i = 0; i < 2000; ++i) {
    REQUIRE(block->draw_state()->step == block->capacity_state()->step);
    block->forward(x);
    const auto branch = block->ran_branches().front();
    block->forward(x, to_first);
    const auto sample = block->ran_samples(0).front();
    ++pairs[static_cast<size_t>(branch * kBranches + sample)];
  }
  CHECK(deviations_from_uniform(pairs) < 4);
}

TEST_CASE(
    "SampleCapacity: counts training forwards and goes on from a saved state",
    "[sample_capacity][random]") {
  auto branch = capacity_branch(3, /*seed=*/9);
  const auto x = torch::ones({9, 1});
  const auto open = torch::ones({9}, torch::kBool);
  REQUIRE(branch->capacity_state().has_value());
  CHECK(*branch->capacity_state() == DrawState{9, 0});
  branch->forward(x, open);
  branch->forward(x);  // its own gates
  CHECK(*branch->capacity_state() == DrawState{9, 1});
  branch->forward(x, torch::zeros({9}, torch::kBool));
  CHECK(*branch->capacity_state() == DrawState{9, 2});
  const auto saved = *branch->capacity_state();
  std::vector<Set> went_on;
  for (int i = 0; i < 5; ++i) {
    branch->forward(x, open);
    went_on.push_back(branch->ran_samples().vec());
  }
  auto resumed = capacity_branch(3, /*seed=*/1);
  resumed->set_capacity_state(saved);
  for (const auto& kept : went_on) {
    resumed->forward(x, open);
    CHECK(resumed->ran_samples() == kept);
  }
}

TEST_CASE(
    "SampleCapacity: in eval nothing is drawn and the first samples stay",
    "[sample_capacity][random]") {
  auto branch = capacity_branch(2);
  branch->eval();
  const auto x = torch::ones({4, 1});
  const auto output = branch->forward(x, mask_of({"0", "1", "1", "1"}, true));
  CHECK(branch->ran_samples() == Set{1, 2});
  CHECK(all_zero(output[3]));
  CHECK(*branch->capacity_state() == DrawState{3, 0});
}

TEST_CASE(
    "SampleCapacity: a clone draws the same and on its own",
    "[sample_capacity][clone]") {
  ChoiceBlock<> block(
      ChoiceBlockOptions().capacity(1).overflow(Overflow::kDrop),
      {{"a", Linear(1, 1)}});
  const auto x = torch::ones({8, 1});
  const auto open = torch::ones({8, 1}, torch::kBool);
  block->forward(x, open);
  const auto copy =
      std::dynamic_pointer_cast<ChoiceBlockImpl<>>(block->clone());
  CHECK(copy->ran_samples(0) == block->ran_samples(0));
  for (int i = 0; i < 5; ++i) {
    block->forward(x, open);
    const auto kept = block->ran_samples(0).vec();
    copy->forward(x, open);
    CHECK(copy->ran_samples(0) == kept);
  }
  copy->forward(x, open);
  CHECK(copy->capacity_state()->step == 7);
  CHECK(block->capacity_state()->step == 6);
}

TEST_CASE(
    "SampleCapacity: a closed branch under no_grad leaves draws as they were",
    "[sample_capacity][random]") {
  struct Router : torch::nn::Module {
    Router() { register_module("inner", inner); }
    torch::Tensor forward(const torch::Tensor& x) {
      return inner->forward(x, torch::ones({x.size(0)}, torch::kBool));
    }
    GatedBranch<Identity> inner = capacity_branch(1);
  };
  const auto router = std::make_shared<Router>();
  GatedBranch outer(router, GatedBranchOptions().skip(Skip::kNoGrad));
  const auto x = torch::ones({5, 1});
  outer->forward(x);
  const auto kept = router->inner->ran_samples().vec();
  outer->set_open(false);
  for (int i = 0; i < 5; ++i) {
    outer->forward(x);
  }
  CHECK(*router->inner->capacity_state() == DrawState{3, 1});
  CHECK(router->inner->ran_samples() == kept);
  CHECK(router->inner->ran_branches() == Set{0});
}

TEST_CASE(
    "SampleCapacity: is printed where it is set", "[sample_capacity][print]") {
  const auto text = [](const auto& module) {
    std::ostringstream stream;
    module->pretty_print(stream);
    return stream.str();
  };
  CHECK(
      text(capacity_branch(2)) ==
      "gatedpaths::GatedBranch(skip=kZeroFill, open=true, capacity=2, "
      "overflow=kDrop)");
  CHECK(
      text(ConcatGate(ConcatGateOptions(1).capacity(8), Identity())) ==
      "gatedpaths::ConcatGate(dim=1, skip=kZeroFill, min_open=0, max_open=1, "
      "open=[0], capacity=8, overflow=kRefuse)");
  CHECK(
      text(ChoiceBlock(Identity(), Identity())) ==
      "gatedpaths::ChoiceBlock(reduction=kSum, skip=kZeroFill, min_open=1, "
      "max_open=1, open=[0])");
}

TEST_CASE(
    "SampleCapacity: refuses what it cannot keep to",
    "[sample_capacity][error]") {
  for (const int64_t capacity : {0, -3}) {
    CHECK(
        message_of<c10::ValueError>([&] {
          GatedBranch(Identity(), GatedBranchOptions().capacity(capacity));
        }) == "GatedBranch: expected a capacity of at least 1 sample, got " +
                  std::to_string(capacity));
  }
  CHECK(
      message_of<c10::ValueError>([] {
        ChoiceBlock(
            ChoiceBlockOptions().capacity(2).skip(Skip::kNoGrad), Identity());
      }) ==
      "ChoiceBlock: expected skip=kZeroFill with a capacity, got skip=kNoGrad, "
      "under which there are no gates for each sample");
  GatedBranch without{Identity()};
  CHECK(
      message_of<c10::Error>([&] { without->set_capacity_state({1, 2}); }) ==
      "GatedBranch::set_capacity_state: expected a capacity with "
      "overflow=kDrop, got no capacity, which draws nothing");
  GatedBranch refusing(Identity(), GatedBranchOptions().capacity(2));
  CHECK(
      message_of<c10::Error>([&] { refusing->set_capacity_state({1, 2}); }) ==
      "GatedBranch::set_capacity_state: expected a capacity with "
      "overflow=kDrop, got overflow=kRefuse, which draws nothing");
}
