// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/sample_gated_module.hpp>

#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/training/open_optimizer.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "support/autocast.hpp"
#include "support/catch.hpp"
#include "support/counting_child.hpp"
#include "support/errors.hpp"
#include "support/finite_difference.hpp"
#include "support/sample_gates.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::ChoiceBlockOptions;
using gatedpaths::ClosedValue;
using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::GatedBranch;
using gatedpaths::GatedBranchOptions;
using gatedpaths::NamedBranch;
using gatedpaths::OpenOptimizer;
using gatedpaths::PathSpace;
using gatedpaths::Reduction;
using gatedpaths::Skip;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::all_defined;
using gatedpaths::test::all_zero;
using gatedpaths::test::Autocast;
using gatedpaths::test::bit_equal;
using gatedpaths::test::copies_of;
using gatedpaths::test::CountingChild;
using gatedpaths::test::CountingChildImpl;
using gatedpaths::test::FunctionChild;
using gatedpaths::test::gradient_error;
using gatedpaths::test::gradients_of;
using gatedpaths::test::largest_difference;
using gatedpaths::test::mask_of;
using gatedpaths::test::message_of;
using gatedpaths::test::none_defined;
using gatedpaths::test::random_stream;
using gatedpaths::test::sample_kinds;
using gatedpaths::test::SampleKind;
using gatedpaths::test::SampleNet;
using torch::nn::Linear;

namespace {

using Set = std::vector<int64_t>;

torch::Tensor samples_image(int64_t samples = 4) {
  torch::manual_seed(31);
  return torch::randn({samples, 3, 5, 5});
}

torch::Tensor samples_rows(const Set& rows) {
  return torch::tensor(rows, torch::kLong);
}

CountingChild samples_child() {
  torch::manual_seed(32);
  return CountingChild();
}

CountingChild samples_copy(const CountingChild& child) {
  return CountingChild(
      std::dynamic_pointer_cast<CountingChildImpl>(child->clone()));
}

// Two CountingChilds behind a ChoiceBlock: a router.
struct SamplesRouter {
  CountingChild a = samples_child();
  CountingChild b = samples_child();
  ChoiceBlock<CountingChild> block{{{"a", a}, {"b", b}}};
};

}  // namespace

TEST_CASE(
    "SampleGatedModule: equals masks on the whole batch, there and back",
    "[sample_gates][forward][backward]") {
  const auto kind = GENERATE(from_range(sample_kinds()));
  const bool training = GENERATE(true, false);
  CAPTURE(kind, training);
  SampleNet net(kind);
  net.module->train(training);
  for (const auto& open : net.masks()) {
    CAPTURE(open);
    const auto x = net.input().requires_grad_();
    const auto same_x = net.input().requires_grad_();
    net.module->zero_grad();
    const auto output = net.forward(x, open);
    const auto reference = net.reference(same_x, open);
    REQUIRE(output.sizes() == reference.sizes());
    CHECK(largest_difference(output, reference) < 1e-14);
    const bool any = open.any().item<bool>();
    CHECK(output.requires_grad() == any);
    if (!any) {
      CHECK(all_zero(output));
      continue;
    }
    const auto upstream = torch::randn_like(output);
    output.backward(upstream);
    std::vector<std::vector<torch::Tensor>> gradients;
    for (const auto& branch : net.branches) {
      gradients.push_back(copies_of(gradients_of(*branch)));
    }
    net.module->zero_grad();
    reference.backward(upstream);
    CHECK(largest_difference(x.grad(), same_x.grad()) < 1e-13);
    const auto gates = open.view({SampleNet::kBatch, -1});
    for (size_t i = 0; i < net.branches.size(); ++i) {
      CAPTURE(i);
      if (!gates.select(1, static_cast<int64_t>(i)).any().item<bool>()) {
        CHECK(none_defined(gradients[i]));
        continue;
      }
      const auto expected = gradients_of(*net.branches[i]);
      for (size_t p = 0; p < expected.size(); ++p) {
        CHECK(largest_difference(gradients[i][p], expected[p]) < 1e-13);
      }
    }
  }
}

TEST_CASE(
    "SampleGatedModule: gradients agree with finite differences",
    "[sample_gates][backward]") {
  const auto kind = GENERATE(from_range(sample_kinds()));
  CAPTURE(kind);
  SampleNet net(kind);
  const auto open = net.masks()[net.masks().size() / 2 + 1];
  const auto x = net.input().requires_grad_();
  const auto loss = [&] { return net.forward(x, open).square().mean(); };
  loss().backward();
  CHECK(gradient_error(loss, x) < 1e-8);
  for (const auto& parameter : net.module->parameters()) {
    if (parameter.grad().defined()) {
      CHECK(gradient_error(loss, parameter) < 1e-8);
    }
  }
}

TEST_CASE(
    "SampleGatedModule: each branch runs once, on its own samples",
    "[sample_gates][forward]") {
  SamplesRouter router;
  const auto x = samples_image();
  const auto output =
      router.block->forward(x, mask_of({"01", "10", "01", "01"}));
  CHECK(output.sizes() == torch::IntArrayRef({4, 4, 5, 5}));
  CHECK(router.a->log.size() == 1);
  CHECK(router.a->log.with(1) == 1);
  CHECK(router.b->log.size() == 1);
  CHECK(router.b->log.with(3) == 1);
  CHECK(router.block->ran_branches() == Set{0, 1});
  CHECK(router.block->ran_samples(0) == Set{1});
  CHECK(router.block->ran_samples(1) == Set{0, 2, 3});
}

TEST_CASE(
    "SampleGatedModule: no sample is closed: no call, no trace, no gradient",
    "[sample_gates][forward][backward]") {
  SamplesRouter router;
  const auto x = samples_image().requires_grad_();
  const auto buffers = copies_of(router.a->buffers());
  router.block->forward(x, mask_of({"01", "01", "01", "01"})).sum().backward();
  CHECK(router.a->log.size() == 0);
  CHECK(all_bit_equal(router.a->buffers(), buffers));
  CHECK(none_defined(gradients_of(*router.a)));
  CHECK(router.block->ran_branches() == Set{1});
  CHECK(router.block->ran_samples(0).empty());

  GatedBranch branch(samples_child());
  const auto stream = random_stream();
  const auto output = branch->forward(x, torch::zeros({4}, torch::kBool));
  CHECK(all_zero(output));
  CHECK_FALSE(output.requires_grad());
  CHECK(bit_equal(random_stream(), stream));
  CHECK(branch->child()->log.with(0) == 1);
  CHECK(branch->child()->log.size() == 2);  // both are probes
  CHECK(branch->ran_branches().empty());
}

TEST_CASE(
    "SampleGatedModule: all samples are an open branch, bit for bit",
    "[sample_gates][forward][backward]") {
  const bool training = GENERATE(true, false);
  const bool choice = GENERATE(true, false);
  CAPTURE(training, choice);
  const auto child = samples_child();
  auto bare = samples_copy(child);
  GatedBranch branch(child);
  ChoiceBlock<CountingChild> block{{{"a", samples_child()}, {"b", child}}};
  branch->train(training);
  block->train(training);
  bare->train(training);
  const auto x = samples_image().requires_grad_();
  const auto same_x = samples_image().requires_grad_();
  torch::manual_seed(5);
  const auto expected = bare->forward(same_x);
  const auto stream = random_stream();
  torch::manual_seed(5);
  const auto output = choice
                          ? block->forward(x, mask_of({"01", "01", "01", "01"}))
                          : branch->forward(x, torch::ones({4}, torch::kBool));
  CHECK(bit_equal(output, expected));
  CHECK(bit_equal(random_stream(), stream));
  const auto upstream = torch::randn_like(output);
  output.backward(upstream);
  expected.backward(upstream);
  CHECK(bit_equal(x.grad(), same_x.grad()));
  CHECK(all_bit_equal(gradients_of(*child), gradients_of(*bare)));
  CHECK(all_bit_equal(child->buffers(), bare->buffers()));
}

TEST_CASE(
    "SampleGatedModule: a branch with all samples gets the input itself",
    "[sample_gates][forward]") {
  const auto x = samples_image();
  bool itself = false;
  FunctionChild child([&](const torch::Tensor& input) {
    itself = input.is_same(x);
    return input * 2;
  });
  ConcatGate<> gate(
      ConcatGateOptions(1), {{"a", child}, {"b", torch::nn::Identity()}});
  gate->forward(x, mask_of({"10", "11", "10", "10"}));
  CHECK(itself);
  gate->forward(x, mask_of({"10", "01", "10", "10"}));
  CHECK_FALSE(itself);
}

TEST_CASE(
    "SampleGatedModule: statistics and random numbers are of what ran",
    "[sample_gates][forward]") {
  const auto child = samples_child();
  auto bare = samples_copy(child);
  GatedBranch branch(child);
  const auto x = samples_image(5);
  const Set rows = {0, 2, 3};
  torch::manual_seed(5);
  const auto expected = bare->forward(x.index_select(0, samples_rows(rows)));
  const auto stream = random_stream();
  torch::manual_seed(5);
  const auto output =
      branch->forward(x, mask_of({"1", "0", "1", "1", "0"}, true));
  CHECK(bit_equal(output.index_select(0, samples_rows(rows)), expected));
  CHECK(all_zero(output.index_select(0, samples_rows({1, 4}))));
  CHECK(bit_equal(random_stream(), stream));
  CHECK(all_bit_equal(child->buffers(), bare->buffers()));
}

TEST_CASE(
    "SampleGatedModule: a NaN of one sample reaches no other",
    "[sample_gates][forward][backward]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  ChoiceBlock<> block(
      {{"nan", FunctionChild([nan](const auto& input) { return input * nan; })},
       {"same", torch::nn::Identity()}});
  const auto x = torch::ones({3, 2}).requires_grad_();
  const auto output = block->forward(x, mask_of({"01", "10", "01"}));
  CHECK(output[1].isnan().all().item<bool>());
  CHECK(output[0].eq(1).all().item<bool>());
  CHECK(output[2].eq(1).all().item<bool>());
  output.sum().backward();
  CHECK(x.grad()[1].isnan().all().item<bool>());
  CHECK(x.grad()[0].eq(1).all().item<bool>());

  // Nor does one in a sample that does not run.
  const auto bad = torch::tensor({{nan, nan}, {1.0F, 2.0F}}).requires_grad_();
  GatedBranch branch(Linear(2, 2));
  const auto kept = branch->forward(bad, mask_of({"0", "1"}, true));
  CHECK_FALSE(kept.isnan().any().item<bool>());
  kept.sum().backward();
  CHECK_FALSE(branch->child()->weight.grad().isnan().any().item<bool>());
  CHECK(all_zero(bad.grad()[0]));
}

TEST_CASE(
    "SampleGatedModule: keeps memory format and autocast's dtype",
    "[sample_gates][forward]") {
  const auto x = samples_image().contiguous(torch::MemoryFormat::ChannelsLast);
  const auto conv =
      torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 4, 3).padding(1));
  conv->weight.set_data(
      conv->weight.contiguous(torch::MemoryFormat::ChannelsLast));
  bool channels_last = false;
  ChoiceBlock<> block(
      {{"a", conv}, {"b", FunctionChild([&](const torch::Tensor& input) {
                       channels_last = input.is_contiguous(
                           torch::MemoryFormat::ChannelsLast);
                       return torch::cat({input, input.narrow(1, 0, 1)}, 1);
                     })}});
  const auto open = mask_of({"10", "01", "10", "01"});
  const auto output = block->forward(x, open);
  CHECK(channels_last);
  CHECK(output.is_contiguous(torch::MemoryFormat::ChannelsLast));

  const auto flat = torch::randn({3, 4});
  GatedBranch branch(Linear(4, 2));
  ConcatGate<> gate(
      ConcatGateOptions(1), {{"a", Linear(4, 2)}, {"b", Linear(4, 2)}});
  const auto some = mask_of({"1", "0", "1"}, true);
  const auto two = mask_of({"10", "01", "10"});
  {
    const Autocast autocast;
    CHECK(branch->forward(flat, some).scalar_type() == torch::kBFloat16);
    CHECK(gate->forward(flat, two).scalar_type() == torch::kBFloat16);
    // As a sum of unlike dtypes, the result is of the wider.
    CHECK(block->forward(x, open).scalar_type() == torch::kFloat);
  }
  CHECK(branch->forward(flat, some).scalar_type() == torch::kFloat);
  branch->to(torch::kBFloat16);
  CHECK(
      branch->forward(flat.to(torch::kBFloat16), some).scalar_type() ==
      torch::kBFloat16);
}

TEST_CASE(
    "SampleGatedModule: takes empty batches and batches of one",
    "[sample_gates][forward]") {
  const auto kind = GENERATE(from_range(sample_kinds()));
  CAPTURE(kind);
  SampleNet net(kind);
  const auto branches = static_cast<int64_t>(net.branches.size());
  const auto mask = [&](int64_t samples) {
    const auto open = torch::zeros({samples, branches}, torch::kBool);
    open.narrow(1, 0, 1).fill_(true);
    return kind == SampleKind::kBranch ? open.flatten() : open;
  };
  const auto none = net.forward(net.input().narrow(0, 0, 0), mask(0));
  CHECK(none.size(0) == 0);
  CHECK(none.dim() == 2);
  CHECK(net.gate().ran_branches().empty());
  const auto one = net.input().narrow(0, 2, 1);
  CHECK(bit_equal(net.forward(one, mask(1)), net.reference(one, mask(1))));
}

TEST_CASE(
    "SampleGatedModule: leaves the module's own gates as they are",
    "[sample_gates][random]") {
  const bool training = GENERATE(true, false);
  const auto x = torch::randn({3, 4});
  GatedBranch branch(Linear(4, 2));
  branch->train(training);
  branch->set_open(false);
  const auto open = mask_of({"1", "0", "1"}, true);
  CHECK_FALSE(all_zero(branch->forward(x, open)));
  CHECK(branch->ran_branches() == Set{0});
  CHECK(branch->ran_samples() == Set{0, 2});
  CHECK_FALSE(branch->is_open());
  CHECK(all_zero(branch->forward(x)));
  CHECK(branch->ran_branches().empty());

  ChoiceBlock block(Linear(4, 2), Linear(4, 2));
  block->train(training);
  block->draw_each_forward(7);
  block->forward(x);
  const auto state = block->draw_state();
  const auto drawn = block->open_branches().vec();
  block->forward(x, mask_of({"10", "01", "10"}));
  CHECK(block->draw_state() == state);
  CHECK(block->open_branches() == drawn);
  CHECK(block->ran_branches() == Set{0, 1});
}

TEST_CASE(
    "SampleGatedModule: a shared child runs once for each branch",
    "[sample_gates][forward][backward]") {
  auto child = samples_child();
  child->eval();
  ChoiceBlock<CountingChild> block{{{"a", child}, {"b", child}}};
  const auto x = samples_image();
  torch::manual_seed(5);
  block->forward(x, mask_of({"10", "01", "01", "01"})).sum().backward();
  CHECK(child->log.size() == 2);
  CHECK(child->log.with(1) == 1);
  CHECK(child->log.with(3) == 1);
  CHECK(all_defined(gradients_of(*child)));
}

TEST_CASE(
    "SampleGatedModule: children may work in place",
    "[sample_gates][backward]") {
  const torch::nn::ReLU in_place(torch::nn::ReLUOptions().inplace(true));
  ChoiceBlock<> block(
      {{"a", torch::nn::Sequential(in_place, Linear(4, 2))},
       {"b", Linear(4, 2)}});
  const auto leaf = torch::randn({4, 4}).requires_grad_();
  const auto x = leaf * 1;
  const auto before = x.detach().clone();
  block->forward(x, mask_of({"10", "01", "10", "01"})).sum().backward();
  CHECK(bit_equal(x.detach(), before));
  CHECK(leaf.grad().defined());
}

TEST_CASE(
    "SampleGatedModule: only branches with a sample are stepped",
    "[sample_gates][backward]") {
  struct Net : torch::nn::Module {
    Net()
        : inner(Linear(4, 4), Linear(4, 4)),
          outer(
              {{"nested", torch::nn::Sequential(inner)},
               {"plain", plain},
               {"idle", idle}}) {
      register_module("outer", outer);
    }
    Linear plain = Linear(4, 4);
    Linear idle = Linear(4, 4);
    ChoiceBlock<Linear> inner;
    ChoiceBlock<> outer;
  };
  const auto net = std::make_shared<Net>();
  const PathSpace space(net);
  torch::optim::SGD sgd(
      net->parameters(),
      torch::optim::SGDOptions(0.1).momentum(0.9).weight_decay(0.1));
  OpenOptimizer steps(net, space, sgd);
  net->inner->select(1);
  net->outer->select("idle");
  const auto x = torch::randn({3, 4});
  for (int step = 0; step < 2; ++step) {
    const auto before = copies_of(net->parameters());
    steps.zero_grad();
    net->outer->forward(x, mask_of({"100", "010", "010"})).sum().backward();
    steps.step();
    const auto after = net->parameters();
    const auto moved = [&](const Linear& linear) {
      for (size_t i = 0; i < after.size(); ++i) {
        if (after[i].is_same(linear->weight)) {
          return !bit_equal(after[i], before[i]);
        }
      }
      return false;
    };
    CHECK(space.ran().open_branches(0) == Set{0, 1});
    CHECK(space.ran().open_branches(1) == Set{1});
    CHECK_FALSE(moved(net->inner->branch(0)));
    CHECK(moved(net->inner->branch(1)));
    CHECK(moved(net->plain));
    CHECK_FALSE(moved(net->idle));
  }
  steps.zero_grad();
  net->outer->forward(x, mask_of({"001", "001", "001"})).sum().backward();
  CHECK(space.ran().open_branches(0) == Set{2});
  CHECK_FALSE(net->inner->branch(1)->weight.grad().defined());
}

TEST_CASE(
    "SampleGatedModule: torch::nn::Sequential and AnyModule hold the modules",
    "[sample_gates][forward]") {
  const auto x = torch::randn({2, 4});
  ChoiceBlock block(Linear(4, 4), Linear(4, 4));
  GatedBranch branch(Linear(4, 4));
  ConcatGate gate(ConcatGateOptions(1), Linear(4, 2), Linear(4, 2));
  torch::nn::Sequential net(block, branch, gate);
  CHECK(net->forward(x).sizes() == torch::IntArrayRef({2, 4}));
  const auto open = mask_of({"10", "01"});
  CHECK(bit_equal(
      net->forward(x, open),
      gate->forward(branch->forward(block->forward(x, open)))));
  torch::nn::AnyModule any(gate);
  CHECK(bit_equal(any.forward(x, open), gate->forward(x, open)));
  CHECK(any.get<ConcatGate<Linear>>().ptr() == gate.ptr());
  torch::nn::AnyModule any_branch(branch);
  CHECK(bit_equal(any_branch.forward(x), branch->forward(x)));
}

TEST_CASE(
    "SampleGatedModule: gates around gates pass the inner gates on",
    "[sample_gates][forward]") {
  ChoiceBlock block(Linear(4, 2), Linear(4, 2));
  GatedBranch around(block, GatedBranchOptions().sample_arguments({0, 1}));
  const auto x = torch::randn({3, 4});
  const auto inner = mask_of({"10", "01", "10"});
  const auto whole = block->forward(x, inner);
  CHECK(bit_equal(around->forward(x, inner), whole));
  const auto output =
      around->forward_samples(mask_of({"1", "0", "1"}, true), x, inner);
  CHECK(block->ran_branches() == Set{0});
  CHECK(block->ran_samples(0) == Set{0, 1});
  CHECK(largest_difference(output[0], whole[0]) < 1e-6);
  CHECK(largest_difference(output[2], whole[2]) < 1e-6);
  CHECK(all_zero(output[1]));
}

TEST_CASE(
    "SampleGatedModule: children of several tensors run on their samples",
    "[sample_gates][forward][backward]") {
  struct Pair : torch::nn::Module {
    std::tuple<torch::Tensor, std::vector<torch::Tensor>> forward(
        const torch::Tensor& x,
        const std::optional<torch::Tensor>& y,
        const torch::Tensor& weight,
        double scale) {
      rows = x.size(0);
      return {x * scale, {*y + 1, x.matmul(weight)}};
    }
    int64_t rows = 0;
  };
  const auto child = std::make_shared<Pair>();
  GatedBranch branch(child, GatedBranchOptions().sample_arguments({0, 1}));
  const auto x = torch::randn({4, 3}).requires_grad_();
  const auto y = torch::randn({4, 2});
  const auto weight = torch::randn({3, 2}).requires_grad_();
  const auto open = mask_of({"0", "1", "0", "1"}, true);
  const auto run = [&](const torch::Tensor& gates) {
    return branch->forward_samples(
        gates, x, std::optional<torch::Tensor>(y), weight, 2.0);
  };
  const auto [scaled, more] = run(open);
  CHECK(child->rows == 2);
  CHECK(bit_equal(scaled[1], x[1] * 2));
  CHECK(bit_equal(scaled[3], x[3] * 2));
  CHECK(all_zero(scaled[0]));
  REQUIRE(more.size() == 2);
  CHECK(bit_equal(more[0][3], y[3] + 1));
  CHECK(all_zero(more[0][2]));
  CHECK(all_zero(more[1][0]));
  more[1].sum().backward();
  CHECK(
      largest_difference(weight.grad().select(1, 0), (x[1] + x[3]).detach()) <
      1e-6);
  CHECK(all_zero(x.grad()[0]));

  const auto [none, no_more] = run(torch::zeros({4}, torch::kBool));
  CHECK(all_zero(none));
  CHECK(no_more[1].sizes() == torch::IntArrayRef({4, 2}));
  const auto [all, all_more] = run(torch::ones({4}, torch::kBool));
  CHECK(bit_equal(all, x * 2));
  CHECK(child->rows == 4);
}

TEST_CASE(
    "SampleGatedModule: states that are not one row a sample are refused",
    "[sample_gates][error]") {
  const auto x = torch::randn({4, 5, 3});
  for (const int64_t layers : {1, 2}) {
    CAPTURE(layers);
    GatedBranch branch(torch::nn::LSTM(
        torch::nn::LSTMOptions(3, 2).num_layers(layers).batch_first(true)));
    // The states are [layers, samples, 2]: with two layers and two samples
    // their first size fits by chance.
    const auto message = message_of<c10::ValueError>([&] {
      branch->forward_samples(mask_of({"1", "0", "1", "0"}, true), x);
    });
    CHECK(
        message ==
        (layers == 1
             ? "GatedBranch::forward: expected branch 0 ('branch') to return "
               "one row for each of the 2 samples that it ran on, got "
               "[1, 2, 2]"
             : "GatedBranch::forward: expected branch 0 ('branch') to return "
               "tensors with a row for each sample, got one of [2, 2, 2] whose "
               "first dim does not follow the batch"));
  }
  GatedBranch alone(torch::nn::LSTM(3, 2));
  alone->forward_samples(torch::ones({4}, torch::kBool), x);
}

TEST_CASE(
    "SampleGatedModule: refuses gates that do not fit",
    "[sample_gates][error]") {
  const auto x = torch::randn({3, 4});
  GatedBranch branch(Linear(4, 2));
  const auto of_branch = [&](const torch::Tensor& open) {
    return message_of<c10::ValueError>([&] { branch->forward(x, open); });
  };
  CHECK(
      of_branch(torch::ones({3})) ==
      "GatedBranch::forward: expected open as a Bool tensor, got Float");
  CHECK(
      of_branch(torch::ones({2}, torch::kBool)) ==
      "GatedBranch::forward: expected open of [3], one gate a sample, got [2]");
  CHECK(
      of_branch(torch::ones({3, 1}, torch::kBool)) ==
      "GatedBranch::forward: expected open of [3], one gate a sample, got "
      "[3, 1]");
  CHECK(
      message_of<c10::ValueError>([&] {
        branch->forward(torch::ones({}), torch::ones({1}, torch::kBool));
      }) ==
      "GatedBranch::forward: expected an input with a batch for gates for each "
      "sample, got one without dims");

  ChoiceBlock block(Linear(4, 2), Linear(4, 2), Linear(4, 2));
  const auto of_block = [&](const torch::Tensor& open) {
    return message_of<c10::ValueError>([&] { block->forward(x, open); });
  };
  CHECK(
      of_block(torch::ones({3, 2}, torch::kBool)) ==
      "ChoiceBlock::forward: expected open of [3, 3], one row a sample, got "
      "[3, 2]");
  CHECK(
      of_block(torch::ones({3}, torch::kBool)) ==
      "ChoiceBlock::forward: expected open of [3, 3], one row a sample, got "
      "[3]");
  CHECK(
      of_block(torch::ones({3, 3}, torch::kLong)) ==
      "ChoiceBlock::forward: expected open as a Bool tensor, got Long");
  CHECK(
      of_block(mask_of({"100", "000", "000"})) ==
      "ChoiceBlock::forward: expected 1 to 1 open branches for each sample, "
      "got 0 for sample 1");
  CHECK(
      of_block(mask_of({"100", "010", "011"})) ==
      "ChoiceBlock::forward: expected 1 to 1 open branches for each sample, "
      "got 2 for sample 2");
  CHECK(block->ran_branches() == Set{0});  // refused, so nothing ran

  ConcatGate gate(ConcatGateOptions(1).min_open(1), Linear(4, 2), Linear(4, 2));
  CHECK(
      message_of<c10::ValueError>(
          [&] { gate->forward_slots(x, mask_of({"11", "10", "00"})); }) ==
      "ConcatGate::forward: expected 1 to 2 open branches for each sample, got "
      "0 for sample 2");

  GatedBranch no_grad(Linear(4, 2), GatedBranchOptions().skip(Skip::kNoGrad));
  CHECK(
      message_of<c10::ValueError>(
          [&] { no_grad->forward(x, torch::ones({3}, torch::kBool)); }) ==
      "GatedBranch::forward: expected skip=kZeroFill for gates for each "
      "sample, got skip=kNoGrad, under which closed samples would have to run");

  struct NoTensor : torch::nn::Module {
    torch::Tensor forward(int64_t size) { return torch::ones({size}); }
  };
  GatedBranch without(std::make_shared<NoTensor>());
  CHECK(
      message_of<c10::ValueError>([&] {
        without->forward_samples(torch::ones({3}, torch::kBool), int64_t{3});
      }) ==
      "GatedBranch::forward_samples: expected a tensor among the arguments, "
      "got none");
}

TEST_CASE(
    "SampleGatedModule: refuses branches without a row for each sample",
    "[sample_gates][error]") {
  const auto x = torch::randn({3, 4});
  ChoiceBlock<> block(
      {{"same", torch::nn::Identity()},
       {"double", FunctionChild([](const auto& input) {
          return torch::cat({input, input});
        })}});
  CHECK(
      message_of<c10::ValueError>(
          [&] { block->forward(x, mask_of({"01", "10", "01"})); }) ==
      "ChoiceBlock::forward: expected branch 1 ('double') to return one row "
      "for each of the 2 samples that it ran on, got [4, 4]");
  GatedBranch branch{
      FunctionChild([](const torch::Tensor& input) { return input.sum(); })};
  CHECK(
      message_of<c10::ValueError>(
          [&] { branch->forward(x, mask_of({"1", "0", "1"}, true)); }) ==
      "GatedBranch::forward: expected branch 0 ('branch') to return one row "
      "for each of the 2 samples that it ran on, got []");
  ConcatGate<> gate(
      ConcatGateOptions(1),
      {{"a",
        FunctionChild([](const auto& input) { return input.unsqueeze(-1); })},
       {"b", torch::nn::Identity()}});
  CHECK(
      message_of<c10::ValueError>(
          [&] { gate->forward(x, mask_of({"01", "10", "01"})); }) ==
      "ConcatGate::forward: branch 1 ('b') returned [2, 4], but branch 0 ('a') "
      "returned [2, 4, 1]; all dims except dim=1 must match");
}

TEST_CASE(
    "SampleGatedModule: tells which samples ran, where each had gates",
    "[sample_gates][error]") {
  GatedBranch branch(Linear(4, 2));
  const auto x = torch::randn({3, 4});
  const std::string none =
      "GatedBranch::ran_samples: expected a last forward with gates for each "
      "sample, got none";
  CHECK(message_of<c10::Error>([&] { branch->ran_samples(); }) == none);
  branch->forward(x, mask_of({"0", "1", "0"}, true));
  CHECK(branch->ran_samples() == Set{1});
  CHECK(
      message_of<c10::IndexError>([&] { branch->ran_samples(1); }) ==
      "GatedBranch::ran_samples: expected a branch index in [0, 1), got 1");
  branch->forward(x);
  CHECK(message_of<c10::Error>([&] { branch->ran_samples(); }) == none);
}

TEST_CASE(
    "SampleGatedModule: a mask may be a view of any strides",
    "[sample_gates][forward]") {
  ChoiceBlock block(Linear(4, 2), Linear(4, 2));
  const auto x = torch::randn({3, 4});
  const auto open = mask_of({"10", "01", "01"});
  CHECK(bit_equal(
      block->forward(x, open.t().contiguous().t()), block->forward(x, open)));
  const auto transposed_x = torch::randn({4, 3}).t();
  CHECK(bit_equal(
      block->forward(transposed_x, open),
      block->forward(transposed_x.contiguous(), open)));
}
