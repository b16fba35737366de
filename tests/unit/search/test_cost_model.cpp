// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/search/cost_model.hpp>
#include <gatedpaths/search/operation_counter.hpp>
#include <gatedpaths/slots/slot_batch_norm.hpp>
#include <gatedpaths/slots/slot_conv.hpp>
#include <gatedpaths/slots/slot_linear.hpp>

#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::ChoiceBlockOptions;
using gatedpaths::CostKind;
using gatedpaths::CostModel;
using gatedpaths::CostOptions;
using gatedpaths::PathCost;
using gatedpaths::PathSpace;
using gatedpaths::Skip;
using gatedpaths::test::message_of;

namespace {

torch::nn::Conv2d conv_of(int64_t in, int64_t out, int64_t kernel) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, kernel)
                               .padding(kernel / 2)
                               .bias(false));
}

// Two choices between a stem and a head.
torch::nn::Sequential chain(Skip skip = Skip::kZeroFill) {
  const auto block = [&] {
    return ChoiceBlock<>(
        ChoiceBlockOptions().skip(skip),
        {{"conv1", conv_of(4, 4, 1)},
         {"conv3", conv_of(4, 4, 3)},
         {"skip", torch::nn::Identity()}});
  };
  return torch::nn::Sequential(
      conv_of(3, 4, 3),
      block(),
      block(),
      torch::nn::Flatten(),
      torch::nn::Linear(4 * 36, 5));
}

torch::Tensor chain_input() { return torch::ones({2, 3, 6, 6}); }

int64_t counted_macs(torch::nn::Sequential& net, const torch::Tensor& input) {
  const torch::NoGradGuard no_grad;
  gatedpaths::OperationCounter counter;
  net->forward(input);
  return counter.macs();
}

}  // namespace

TEST_CASE("CostModel: a chain of choices is the sum of its parts", "[search]") {
  const Skip skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  auto net = chain(skip);
  const PathSpace space(net);
  const auto cost = CostModel::measure(net, space, chain_input());
  const int64_t pixels = 2 * 36;
  CHECK(cost.outside().macs == pixels * 3 * 4 * 9 + 2 * 4 * 36 * 5);
  CHECK(cost.branch(0, 0).macs == pixels * 16);
  CHECK(cost.branch(1, 1).macs == pixels * 16 * 9);
  CHECK(cost.branch(1, 1).flops == pixels * 16 * 9 * 2);
  CHECK(cost.branch(1, 2).macs == 0);
  CHECK(cost.outside().parameters == 3 * 4 * 9 + 4 * 36 * 5 + 5);
  CHECK(cost.branch(0, 1).parameters == 16 * 9);
  CHECK(cost.branch(0, 1).parameter_bytes == 16 * 9 * 4);
  CHECK(cost.why_not_additive().empty());
  CHECK(cost.unknown_operators().empty());
  CHECK(cost.convention() == "torch.utils.flop_counter");
  CHECK(cost.device() == "cpu");
  CHECK_FALSE(cost.has(CostKind::kLatency));
  for (uint64_t i = 0; i < space.size(); ++i) {
    const auto path = space.at(i);
    PathCost sum = cost.outside();
    for (const auto& [gate, open] : path) {
      sum += cost.branch(gate, open[0]);
    }
    CHECK(cost.of(path) == sum);
    if (skip == Skip::kZeroFill) {
      space.apply(path);
      CHECK(cost.of(path).macs == counted_macs(net, chain_input()));
    }
  }
}

TEST_CASE("CostModel: measuring leaves no trace in the network", "[search]") {
  auto net = chain();
  net->push_back(torch::nn::BatchNorm1d(5));
  net->push_back(torch::nn::Dropout(0.5));
  const PathSpace space(net);
  space.apply(space.at(5));
  std::map<std::string, torch::Tensor> before;
  for (const auto& item : net->named_buffers()) {
    before.emplace(item.key(), item.value().clone());
  }
  const auto input = chain_input();
  const auto kept_input = input.clone();
  torch::manual_seed(3);
  const auto expected = torch::rand({4});
  torch::manual_seed(3);
  const auto cost = CostModel::measure(
      net, space, input, CostOptions().latency_repetitions(2));
  CHECK(torch::equal(torch::rand({4}), expected));
  CHECK(torch::equal(input, kept_input));
  CHECK(space.current() == space.at(5));
  CHECK(net->is_training());
  CHECK(space.gate(0).branch_module(0).is_training());
  for (const auto& item : net->named_buffers()) {
    CAPTURE(item.key());
    CHECK(torch::equal(item.value(), before.at(item.key())));
  }
  for (const auto& parameter : net->parameters()) {
    CHECK_FALSE(parameter.grad().defined());
  }
  CHECK(cost.has(CostKind::kLatency));
}

namespace {

// An inner choice in the second branch of the outer one.
ChoiceBlock<> nested_choice() {
  return ChoiceBlock<>(
      {{"plain", conv_of(4, 4, 1)},
       {"deep",
        torch::nn::Sequential(
            conv_of(4, 4, 3),
            ChoiceBlock<>(
                {{"a", conv_of(4, 4, 1)}, {"b", conv_of(4, 4, 3)}}))}});
}

void check_each_path(
    torch::nn::Sequential& net,
    const PathSpace& space,
    const CostModel& cost,
    const torch::Tensor& input) {
  for (uint64_t i = 0; i < space.size(); ++i) {
    const auto path = space.at(i);
    space.apply(path);
    CAPTURE(space.to_string(path));
    CHECK(cost.of(path).macs == counted_macs(net, input));
  }
}

}  // namespace

TEST_CASE("CostModel: nested gates count where they are reached", "[search]") {
  torch::nn::Sequential net(nested_choice(), nested_choice());
  const PathSpace space(net);
  const auto input = torch::ones({2, 4, 5, 5});
  const auto cost = CostModel::measure(net, space, input);
  CHECK(cost.is_additive(CostKind::kMacs));
  CHECK(cost.branch(1, 0).macs == 2 * 25 * 16);
  CHECK(cost.branch(0, 1).parameters == 16 * 9);
  CHECK(cost.branch(1, 1).parameters == 16 * 9);
  check_each_path(net, space, cost, input);
}

namespace {

// A gate that runs its branches by itself, where nothing sees which one runs,
// and whose branches may return what they like.
struct OwnGate : torch::nn::Module, gatedpaths::GatedModule {
  OwnGate(torch::nn::Sequential one, torch::nn::Sequential other)
      : branches{
            register_module("one", std::move(one)),
            register_module("other", std::move(other))} {
    init_gates("OwnGate", {"one", "other"}, 1, 1);
  }
  const torch::nn::Module& branch_module(int64_t index) const override {
    return *branches[static_cast<size_t>(index)];
  }
  std::string_view gate_kind() const noexcept override { return "OwnGate"; }
  torch::Tensor forward(const torch::Tensor& x) {
    begin_forward(is_training());
    return branches[is_open(0) ? 0 : 1]->forward(x);
  }
  std::vector<torch::nn::Sequential> branches;
};

// The image as it is, or at half its resolution.
std::shared_ptr<OwnGate> resolution_gate() {
  return std::make_shared<OwnGate>(
      torch::nn::Sequential(conv_of(4, 4, 3)),
      torch::nn::Sequential(torch::nn::Conv2d(
          torch::nn::Conv2dOptions(4, 4, 3).stride(2).padding(1).bias(false))));
}

std::shared_ptr<OwnGate> width_gate() {
  return std::make_shared<OwnGate>(
      torch::nn::Sequential(torch::nn::Linear(4, 4)),
      torch::nn::Sequential(
          torch::nn::Linear(4, 32), torch::nn::Linear(32, 4)));
}

}  // namespace

TEST_CASE(
    "CostModel: what a gate changes behind it is the branch's", "[search]") {
  // A branch that halves the resolution saves what comes after it.
  torch::nn::Sequential net(
      conv_of(3, 4, 3), resolution_gate(), conv_of(4, 8, 3));
  const PathSpace space(net);
  const auto input = torch::ones({1, 3, 8, 8});
  const auto cost = CostModel::measure(net, space, input);
  CHECK(cost.is_additive(CostKind::kMacs));
  CHECK(cost.why_not_additive().empty());
  // The first branch is where the rest is measured.
  CHECK(
      cost.branch(0, 1).macs == (16 - 64) * 4 * 4 * 9 + (16 - 64) * 4 * 8 * 9);
  check_each_path(net, space, cost, input);
}

TEST_CASE(
    "CostModel: costs that depend on two gates are measured by path",
    "[search]") {
  torch::nn::Sequential net(resolution_gate(), resolution_gate());
  const PathSpace space(net);
  const auto input = torch::ones({1, 4, 8, 8});
  const auto cost = CostModel::measure(net, space, input);
  CHECK_FALSE(cost.is_additive(CostKind::kMacs));
  CHECK(cost.is_additive(CostKind::kParameters));
  CHECK(cost.why_not_additive().starts_with("macs of path '"));
  check_each_path(net, space, cost, input);
  CHECK(cost.of(space.at(0)).parameters == 2 * 16 * 9);

  // A table knows the paths that were measured, and no others.
  auto fresh = CostModel::measure(net, space, input);
  const auto known = fresh.of(space.at(1));
  const auto read = CostModel::from_json(space.layout(), fresh.to_json());
  CHECK(read.of(space.at(1)) == known);
  CHECK_THAT(
      message_of<c10::Error>([&] { read.of(space.at(2)); }),
      Catch::Matchers::StartsWith(
          "CostModel::of: expected one of the 1 paths that were measured as "
          "wholes, got '0=other;1=one'"));
}

TEST_CASE("CostModel: a weight in two branches counts once", "[search]") {
  const auto shared = conv_of(4, 4, 3);
  const auto alone = ChoiceBlock<>(
      ChoiceBlockOptions().max_open(2),
      {{"a", shared}, {"b", shared}, {"c", conv_of(4, 4, 1)}});
  torch::nn::Sequential net(alone);
  const PathSpace space(net);
  const auto input = torch::ones({1, 4, 5, 5});
  const auto cost = CostModel::measure(net, space, input);
  for (const std::string text : {"0=a", "0=b", "0=a+b"}) {
    CHECK(cost.of(space.parse(text)).parameters == 16 * 9);
  }
  CHECK(cost.of(space.parse("0=b+c")).parameters == 16 * 9 + 16);
  check_each_path(net, space, cost, input);
}

namespace {

// Choices of slots, of which a layer takes the open ones.
struct SlotNet : torch::nn::Module {
  explicit SlotNet(int64_t min_open, int64_t max_open)
      : paths(register_module(
            "paths",
            gatedpaths::ConcatGate<>(
                gatedpaths::ConcatGateOptions(/*dim=*/1)
                    .min_open(min_open)
                    .max_open(max_open),
                {{"a", conv_of(3, 4, 3)},
                 {"b", conv_of(3, 2, 3)},
                 {"c", conv_of(3, 4, 1)}}))),
        fc(register_module(
            "fc",
            gatedpaths::SlotLinear(
                gatedpaths::SlotLinearOptions({4 * 16, 2 * 16, 4 * 16}, 5)))) {}

  torch::Tensor forward(const torch::Tensor& x) {
    return fc->forward(paths->forward_slots(x).flatten());
  }

  gatedpaths::ConcatGate<> paths;
  gatedpaths::SlotLinear fc;
};

}  // namespace

TEST_CASE("CostModel: of a layer on slots the open ones count", "[search]") {
  const int64_t min_open = GENERATE(0, 1, 2);
  const int64_t max_open = GENERATE(1, 2, 3);
  if (min_open > max_open) {
    return;
  }
  CAPTURE(min_open, max_open);
  const auto net = std::make_shared<SlotNet>(min_open, max_open);
  const PathSpace space(net);
  const auto cost = CostModel::measure(net, space, torch::ones({2, 3, 4, 4}));
  CHECK(cost.is_additive(CostKind::kMacs));
  CHECK(cost.is_additive(CostKind::kParameters));
  CHECK(cost.why_not_additive().empty());
  const int64_t conv_weights[] = {3 * 4 * 9, 3 * 2 * 9, 3 * 4};
  const int64_t fc_weights[] = {4 * 16 * 5, 2 * 16 * 5, 4 * 16 * 5};
  for (uint64_t i = 0; i < space.size(); ++i) {
    const auto path = space.at(i);
    CAPTURE(space.to_string(path));
    int64_t macs = 0;
    int64_t parameters = 5;
    for (const int64_t b : path.open_branches(0)) {
      macs += 2 * (16 * conv_weights[b] + fc_weights[b]);
      parameters += conv_weights[b] + fc_weights[b];
    }
    CHECK(cost.of(path).macs == macs);
    CHECK(cost.of(path).parameters == parameters);
  }
}

TEST_CASE("CostModel: of a norm on slots the open ones count", "[search]") {
  struct SlotNormNet : torch::nn::Module {
    SlotNormNet() {
      register_module("gate", gate);
      register_module("norm", norm);
      register_module("conv", conv);
    }
    torch::Tensor forward(const torch::Tensor& x) {
      return conv->forward(norm->forward(gate->forward_slots(x)));
    }
    gatedpaths::ConcatGate<torch::nn::Conv2d> gate{
        gatedpaths::ConcatGateOptions(1).min_open(0),
        torch::nn::Conv2d(3, 2, 1),
        torch::nn::Conv2d(3, 5, 1)};
    gatedpaths::SlotBatchNorm2d norm{gatedpaths::SlotBatchNormOptions(
        {2, 5}, torch::nn::BatchNormOptions(7))};
    gatedpaths::SlotConv2d conv{gatedpaths::SlotConvOptions<2>(
        {2, 5}, torch::nn::Conv2dOptions(7, 4, 1))};
  };
  const auto net = std::make_shared<SlotNormNet>();
  const PathSpace space(net);
  const auto cost = CostModel::measure(net, space, torch::ones({2, 3, 4, 4}));
  REQUIRE(space.size() == 4);
  for (uint64_t i = 0; i < space.size(); ++i) {
    int64_t parameters = 4;  // the bias of conv
    for (const int64_t branch : space.at(i).open_branches(0)) {
      const int64_t out = branch == 0 ? 2 : 5;
      parameters += (3 * out + out) + 2 * out + 4 * out;
    }
    CHECK(cost.of(space.at(i)).parameters == parameters);
  }
}

TEST_CASE("CostModel: a gate of the user's own counts too", "[search]") {
  torch::nn::Sequential net(width_gate(), width_gate());
  const PathSpace space(net);
  const auto input = torch::ones({3, 4});
  const auto cost = CostModel::measure(
      net, space, input, CostOptions().latency_repetitions(1));
  CHECK(cost.is_additive(CostKind::kMacs));
  CHECK(cost.branch(1, 0).macs == 0);
  CHECK(cost.branch(1, 1).macs == 3 * (256 - 16));
  CHECK(cost.branch(1, 1).parameters == 128 + 32 + 128 + 4);
  check_each_path(net, space, cost, input);
  CHECK_FALSE(cost.is_additive(CostKind::kLatency));
  CHECK(cost.of(space.at(3)).latency > 0);
}

TEST_CASE("CostModel: activations are what backward needs", "[search]") {
  // A convolution keeps its input, batch norm its input and two statistics of
  // each channel, relu its output; an identity keeps nothing.
  constexpr int64_t kImage = 2 * 4 * 36 * 4;  // bytes
  torch::nn::Sequential net(
      conv_of(3, 4, 3),
      ChoiceBlock<>(
          {{"conv", conv_of(4, 4, 3)},
           {"two", torch::nn::Sequential(conv_of(4, 4, 3), conv_of(4, 4, 1))},
           {"skip", torch::nn::Identity()}}),
      torch::nn::BatchNorm2d(4),
      torch::nn::ReLU());
  const PathSpace space(net);
  const auto cost = CostModel::measure(net, space, chain_input());
  CHECK(cost.is_additive(CostKind::kActivationBytes));
  CHECK(cost.outside().activation_bytes == 2 * kImage + 2 * 4 * 4);
  CHECK(cost.branch(0, 0).activation_bytes == kImage);
  CHECK(cost.branch(0, 1).activation_bytes == 2 * kImage);
  CHECK(cost.branch(0, 2).activation_bytes == 0);

  const auto none = CostModel::measure(
      net, space, chain_input(), CostOptions().activations(false));
  CHECK_FALSE(none.has(CostKind::kActivationBytes));
}

TEST_CASE("CostModel: latency is there for each part", "[search]") {
  auto net = chain();
  const PathSpace space(net);
  const auto cost = CostModel::measure(
      net,
      space,
      torch::ones({8, 3, 6, 6}),
      CostOptions().latency_repetitions(9).activations(false));
  CHECK(cost.is_additive(CostKind::kLatency));
  CHECK(cost.outside().latency > 0);
  CHECK(cost.outside().latency_spread >= 0);
  for (int64_t b = 0; b < 3; ++b) {
    CHECK(cost.branch(0, b).latency > 0);
  }
}

TEST_CASE("CostModel: a table goes to JSON and comes back", "[search]") {
  auto net = chain();
  const PathSpace space(net);
  const auto cost = CostModel::measure(
      net, space, chain_input(), CostOptions().latency_repetitions(2));
  const std::string text = cost.to_json();
  const auto read = CostModel::from_json(space.layout(), text);
  CHECK(read.to_json() == text);
  for (uint64_t i = 0; i < space.size(); ++i) {
    CHECK(read.of(space.at(i)) == cost.of(space.at(i)));
  }
  CHECK(read.device() == "cpu");
  CHECK(read.has(CostKind::kLatency));

  torch::nn::Sequential other(nested_choice());
  const PathSpace other_space(other);
  CHECK_THAT(
      message_of<c10::ValueError>(
          [&] { CostModel::from_json(other_space.layout(), text); }),
      Catch::Matchers::StartsWith(
          "CostModel::from_json: expected the costs of space 0x"));
  CHECK_THAT(
      message_of<c10::ValueError>(
          [&] { CostModel::from_json(space.layout(), "{\"a\": "); }),
      Catch::Matchers::StartsWith(
          "CostModel::from_json: expected a table that to_json wrote"));
  CHECK_THAT(
      message_of<c10::ValueError>(
          [&] { CostModel::from_json(space.layout(), "{\"format\": \"x\"}"); }),
      Catch::Matchers::StartsWith(
          "CostModel::from_json: expected the format 'gatedpaths cost 1', got "
          "'x'"));
  CHECK(
      message_of<c10::ValueError>([&] {
        CostModel::from_json(
            space.layout(),
            R"({"format": "gatedpaths cost 1", "paths": {"a": 1, "a": 2}})");
      }) ==
      "CostModel::from_json: expected a table that to_json wrote, got one that "
      "has 'a' twice");
  CHECK(
      message_of<c10::ValueError>([&] {
        CostModel::from_json(space.layout(), std::string(1'000'000, '['));
      }) ==
      "CostModel::from_json: expected a table that to_json wrote, got one that "
      "is nested deeper than 32");
  CHECK_THROWS_AS(CostModel::from_json(nullptr, text), c10::ValueError);
}

TEST_CASE("CostModel: bad input is refused by name", "[search][error]") {
  auto net = chain();
  const PathSpace space(net);
  auto other = chain();
  CHECK_THAT(
      message_of<c10::ValueError>(
          [&] { CostModel::measure(other, space, chain_input()); }),
      Catch::Matchers::StartsWith(
          "CostModel::measure: expected the network that the space was made "
          "of, got one without its gate '1'"));
  CHECK_THAT(
      message_of<c10::ValueError>(
          [&] { CostModel::measure(net, space, torch::ones({2, 5, 6, 6})); }),
      Catch::Matchers::StartsWith(
          "CostModel::measure: expected example inputs that the network takes "
          "on each path, got [2, 5, 6, 6] Float and on path "
          "'1=conv1;2=conv1' the error: "));
  CHECK_THROWS_AS(
      CostModel::measure(torch::nn::Sequential(nullptr), space, chain_input()),
      c10::ValueError);
  CHECK_THAT(
      message_of<c10::ValueError>([&] {
        CostModel::measure(
            net, space, chain_input(), CostOptions().warm_up(-1));
      }),
      Catch::Matchers::StartsWith(
          "CostModel::measure: expected warm_up of at least 0, got -1"));

  const auto cost = CostModel::measure(net, space, chain_input());
  CHECK_THAT(
      message_of<c10::ValueError>([&] { cost.of(gatedpaths::Path()); }),
      Catch::Matchers::StartsWith("CostModel::of: expected a path of space"));
  CHECK_THROWS_AS(cost.branch(0, 3), c10::IndexError);

  std::vector<std::vector<PathCost>> branches(2, std::vector<PathCost>(3));
  branches[1][2].latency = std::nan("");
  CHECK_THAT(
      message_of<c10::ValueError>(
          [&] { CostModel(space.layout(), {}, branches); }),
      Catch::Matchers::StartsWith(
          "CostModel: expected finite costs, got a latency of nan"));
  branches.pop_back();
  CHECK_THAT(
      message_of<c10::ValueError>(
          [&] { CostModel(space.layout(), {}, branches); }),
      Catch::Matchers::StartsWith(
          "CostModel: expected costs of 2 gates, got those of 1"));
}
