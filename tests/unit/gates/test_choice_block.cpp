// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/choice_block.hpp>

#include <cstdint>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"
#include "support/counting_child.hpp"
#include "support/errors.hpp"
#include "support/finite_difference.hpp"
#include "support/tensors.hpp"

using gatedpaths::AnyBranch;
using gatedpaths::ChoiceBlock;
using gatedpaths::ChoiceBlockOptions;
using gatedpaths::ClosedValue;
using gatedpaths::NamedBranch;
using gatedpaths::OutputShape;
using gatedpaths::Reduction;
using gatedpaths::Skip;
using gatedpaths::test::all_zero;
using gatedpaths::test::bit_equal;
using gatedpaths::test::FunctionChild;
using gatedpaths::test::gradient_error;
using gatedpaths::test::largest_difference;
using gatedpaths::test::message_of;
using torch::nn::Linear;
using torch::nn::LinearImpl;

namespace {

using Set = std::vector<int64_t>;

Linear choice_linear(int64_t out = 3) { return Linear(4, out); }

torch::Tensor choice_input(int64_t samples = 2) {
  torch::manual_seed(1);
  return torch::randn({samples, 4});
}

ChoiceBlock<> three_of_choice(const ChoiceBlockOptions& options) {
  torch::manual_seed(2);
  return {
      options,
      {{"a", choice_linear()},
       {"b", torch::nn::Sequential(choice_linear(), torch::nn::Tanh())},
       {"c", choice_linear()}}};
}

}  // namespace

TEST_CASE("ChoiceBlock: is made from named branches", "[choice_block]") {
  const auto linear = choice_linear();
  ChoiceBlock block(
      {{"a", linear}, {"b", torch::nn::Sequential(choice_linear())}});
  static_assert(std::is_same_v<decltype(block), ChoiceBlock<AnyBranch>>);
  CHECK(block->branch_names() == std::vector<std::string>{"a", "b"});
  CHECK(block->branch("a").ptr() == linear.ptr());
  CHECK(block->gate_kind() == "ChoiceBlock");
  CHECK(&block->branch_module(0) == linear.get());

  ChoiceBlock with_options(
      ChoiceBlockOptions().max_open(2),
      {{"a", linear}, {"b", choice_linear()}});
  static_assert(std::is_same_v<decltype(with_options), ChoiceBlock<AnyBranch>>);
  CHECK(with_options->max_open() == 2);
  CHECK(with_options->options.max_open() == 2);

  ChoiceBlock<Linear> typed({{"a", linear}, {"b", choice_linear()}});
  static_assert(std::is_same_v<decltype(typed->branch(0)), Linear>);
  CHECK(typed->branch("a").ptr() == linear.ptr());

  const std::vector<NamedBranch<>> list = {
      {"x", linear}, {"y", choice_linear()}};
  ChoiceBlock from_list(list);
  static_assert(std::is_same_v<decltype(from_list), ChoiceBlock<AnyBranch>>);
  CHECK(from_list->branch_names() == std::vector<std::string>{"x", "y"});

  std::vector<NamedBranch<Linear>> typed_list;
  typed_list.emplace_back("x", linear);
  ChoiceBlock from_typed_list(ChoiceBlockOptions(), typed_list);
  static_assert(std::is_same_v<decltype(from_typed_list), ChoiceBlock<Linear>>);
  CHECK(from_typed_list->num_branches() == 1);

  ChoiceBlock from_typed_list_alone(typed_list);
  static_assert(
      std::is_same_v<decltype(from_typed_list_alone), ChoiceBlock<Linear>>);
  ChoiceBlock from_list_with_options(ChoiceBlockOptions(), list);
  static_assert(
      std::is_same_v<decltype(from_list_with_options), ChoiceBlock<AnyBranch>>);

  ChoiceBlock typed_elements(
      ChoiceBlockOptions(), {NamedBranch<Linear>("x", linear)});
  static_assert(std::is_same_v<decltype(typed_elements), ChoiceBlock<Linear>>);
  ChoiceBlock typed_elements_alone({NamedBranch<Linear>("x", linear)});
  static_assert(
      std::is_same_v<decltype(typed_elements_alone), ChoiceBlock<Linear>>);

  ChoiceBlock in_braces{{"a", linear}, {"b", choice_linear()}};
  static_assert(std::is_same_v<decltype(in_braces), ChoiceBlock<AnyBranch>>);
  CHECK(in_braces->branch_names() == std::vector<std::string>{"a", "b"});

  ChoiceBlock single({{"only", linear}});
  CHECK(single->branch_names() == std::vector<std::string>{"only"});
}

TEST_CASE(
    "ChoiceBlock: unnamed branches are numbered, and typed where alike",
    "[choice_block]") {
  const auto linear = choice_linear();
  ChoiceBlock alike(linear, choice_linear(), choice_linear());
  static_assert(std::is_same_v<decltype(alike), ChoiceBlock<Linear>>);
  CHECK(alike->branch_names() == std::vector<std::string>{"0", "1", "2"});
  CHECK(alike->branch(0).ptr() == linear.ptr());
  CHECK(alike->branch("2")->options.in_features() == 4);

  ChoiceBlock unlike(linear, torch::nn::Sequential(choice_linear()));
  static_assert(std::is_same_v<decltype(unlike), ChoiceBlock<AnyBranch>>);
  CHECK(unlike->branch(0).get<LinearImpl>().options.in_features() == 4);

  ChoiceBlock options_first(
      ChoiceBlockOptions().max_open(2), choice_linear(), choice_linear());
  static_assert(std::is_same_v<decltype(options_first), ChoiceBlock<Linear>>);
  CHECK(options_first->max_open() == 2);

  ChoiceBlock one(ChoiceBlockOptions(), choice_linear());
  static_assert(std::is_same_v<decltype(one), ChoiceBlock<Linear>>);
  CHECK(one->num_branches() == 1);

  const auto pointer = std::make_shared<LinearImpl>(4, 3);
  ChoiceBlock pointers(pointer, std::make_shared<LinearImpl>(4, 3));
  static_assert(std::is_same_v<
                decltype(pointers),
                ChoiceBlock<std::shared_ptr<LinearImpl>>>);
  CHECK(pointers->branch(0) == pointer);

  ChoiceBlock values(LinearImpl(4, 3), LinearImpl(4, 3));
  static_assert(std::is_same_v<decltype(values), ChoiceBlock<LinearImpl>>);
  static_assert(
      std::is_same_v<decltype(values->branch(0)), std::shared_ptr<LinearImpl>>);
  CHECK(values->forward(choice_input()).size(1) == 3);

  ChoiceBlock any{AnyBranch(choice_linear()), AnyBranch(choice_linear())};
  static_assert(std::is_same_v<decltype(any), ChoiceBlock<AnyBranch>>);

  ChoiceBlock<> asked(choice_linear(), choice_linear());
  CHECK(asked->branch(1).get<LinearImpl>().options.out_features() == 3);
}

TEST_CASE("ChoiceBlock: holders share the module", "[choice_block]") {
  ChoiceBlock block(choice_linear(), choice_linear());
  ChoiceBlock copy = block;
  static_assert(std::is_same_v<decltype(copy), ChoiceBlock<Linear>>);
  CHECK(copy.ptr() == block.ptr());
  const ChoiceBlock<Linear> from_pointer = block.ptr();
  CHECK(from_pointer.ptr() == block.ptr());
  ChoiceBlock deduced(block.ptr());
  static_assert(std::is_same_v<decltype(deduced), ChoiceBlock<Linear>>);
  CHECK(deduced.ptr() == block.ptr());
  const ChoiceBlock<Linear> empty = nullptr;
  CHECK(empty.is_empty());
  ChoiceBlock any = nullptr;
  static_assert(std::is_same_v<decltype(any), ChoiceBlock<AnyBranch>>);
  CHECK(any.is_empty());

  static_assert(!std::is_default_constructible_v<ChoiceBlock<Linear>>);
  static_assert(!std::is_constructible_v<ChoiceBlock<Linear>, Linear>);
  static_assert(
      !std::is_constructible_v<ChoiceBlock<Linear>, Linear, torch::nn::Tanh>);
}

TEST_CASE("ChoiceBlock: runs the selected branch", "[choice_block][forward]") {
  auto block = three_of_choice(
      ChoiceBlockOptions().skip(GENERATE(Skip::kZeroFill, Skip::kNoGrad)));
  const auto x = choice_input();
  CHECK(block->open_branches() == Set{0});
  for (int64_t i = 0; i < 3; ++i) {
    block->select(i);
    CHECK(block->open_branches() == Set{i});
    CHECK(bit_equal(block->forward(x), block->branch(i).forward(x)));
  }
  block->select("b");
  CHECK(block->is_open("b"));
  CHECK(bit_equal(block->forward(x), block->branch(1).forward(x)));
  block->set_open({2});
  CHECK(bit_equal(block->forward(x), block->branch(2).forward(x)));
  block->set_open({"a"});
  CHECK(bit_equal(block->forward(x), block->branch(0).forward(x)));
  CHECK(block->forward(choice_input(0)).sizes() == torch::IntArrayRef({0, 3}));
}

TEST_CASE(
    "ChoiceBlock: several open branches are summed or averaged",
    "[choice_block][forward][backward]") {
  const Skip skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  const auto reduction = GENERATE(Reduction::kSum, Reduction::kMean);
  const Set open = GENERATE(Set{0, 2}, Set{1, 2}, Set{0, 1, 2}, Set{1});
  auto block = three_of_choice(
      ChoiceBlockOptions().max_open(3).skip(skip).reduction(reduction));
  const auto x = choice_input().set_requires_grad(true);
  block->set_open(open);
  const auto output = block->forward(x);

  auto expected = block->branch(open[0]).forward(x);
  for (size_t i = 1; i < open.size(); ++i) {
    expected = expected + block->branch(open[i]).forward(x);
  }
  if (reduction == Reduction::kMean && open.size() > 1) {
    expected = expected / static_cast<double>(open.size());
  }
  CHECK(bit_equal(output, expected));

  const auto parameters = block->parameters();
  auto inputs = parameters;
  inputs.push_back(x);
  const auto grad = [&](const torch::Tensor& result) {
    return torch::autograd::grad(
        {result.square().sum()},
        inputs,
        {},
        /*retain_graph=*/true,
        /*create_graph=*/false,
        /*allow_unused=*/true);
  };
  const auto gradients = grad(output);
  const auto expected_gradients = grad(expected);
  for (size_t i = 0; i < inputs.size(); ++i) {
    CHECK(bit_equal(gradients[i], expected_gradients[i]));
  }
}

TEST_CASE(
    "ChoiceBlock: gradients agree with finite differences",
    "[choice_block][backward]") {
  const auto reduction = GENERATE(Reduction::kSum, Reduction::kMean);
  auto block =
      three_of_choice(ChoiceBlockOptions().max_open(2).reduction(reduction));
  block->to(torch::kDouble);
  block->set_open({1, 2});
  const auto x = choice_input().to(torch::kDouble).set_requires_grad(true);
  const auto loss = [&] { return block->forward(x).square().mean(); };
  loss().backward();
  CHECK(gradient_error(loss, x) < 1e-8);
  for (int64_t i = 1; i < 3; ++i) {
    for (const auto& parameter : block->branch(i).ptr()->parameters()) {
      CHECK(gradient_error(loss, parameter) < 1e-8);
    }
  }
  for (const auto& parameter : block->branch(0).ptr()->parameters()) {
    CHECK_FALSE(parameter.grad().defined());
  }
}

TEST_CASE(
    "ChoiceBlock: none open is zeros of the common shape",
    "[choice_block][forward]") {
  const Skip skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  auto block =
      three_of_choice(ChoiceBlockOptions().min_open(0).max_open(3).skip(skip));
  block->set_open({});
  const auto output = block->forward(choice_input());
  CHECK(output.sizes() == torch::IntArrayRef({2, 3}));
  CHECK(all_zero(output));
  CHECK_FALSE(output.requires_grad());
  block->to(torch::kDouble);
  CHECK(
      block->forward(choice_input().to(torch::kDouble)).scalar_type() ==
      torch::kDouble);
}

TEST_CASE(
    "ChoiceBlock: none open takes the shape from any branch that has one",
    "[choice_block][forward]") {
  // A branch that no probe can run: only an input of real values will do.
  const FunctionChild shy([](const torch::Tensor& x) {
    TORCH_CHECK(x.ne(0).any().item<bool>(), "shy");
    return x;
  });
  const auto options = ChoiceBlockOptions().min_open(0);
  const auto x = choice_input();
  ChoiceBlock returned(options, shy, torch::nn::Linear(4, 4));
  returned->select(1);
  returned->forward(x);
  returned->set_open({});
  CHECK(all_zero(returned->forward(x)));

  ChoiceBlock declared(options, {{"shy", shy}, {"b", choice_linear(4), {4}}});
  declared->set_open({});
  CHECK(declared->forward(x).sizes() == torch::IntArrayRef({2, 4}));
}

TEST_CASE(
    "ChoiceBlock: detached outputs of closed branches count",
    "[choice_block][forward]") {
  auto block = three_of_choice(ChoiceBlockOptions()
                                   .skip(Skip::kNoGrad)
                                   .closed_value(ClosedValue::kDetached));
  const auto x = choice_input();
  block->select("b");
  const auto output = block->forward(x);
  const auto expected = block->branch(0).forward(x) +
                        block->branch(1).forward(x) +
                        block->branch(2).forward(x);
  CHECK(largest_difference(output, expected) < 1e-6);
  output.sum().backward();
  CHECK_FALSE(block->branch(0).ptr()->parameters()[0].grad().defined());
  CHECK(block->branch(1).ptr()->parameters()[0].grad().defined());
  CHECK_FALSE(block->branch(2).ptr()->parameters()[0].grad().defined());
}

TEST_CASE(
    "ChoiceBlock: draws in training and holds what was applied in eval",
    "[choice_block][random]") {
  auto block = three_of_choice(ChoiceBlockOptions());
  const auto x = choice_input();
  block->select(2);
  block->draw_each_forward(/*seed=*/5);
  std::set<int64_t> seen;
  for (int i = 0; i < 40; ++i) {
    const auto output = block->forward(x);
    REQUIRE(block->open_branches().size() == 1);
    const int64_t open = block->open_branches()[0];
    seen.insert(open);
    CHECK(bit_equal(output, block->branch(open).forward(x)));
  }
  CHECK(seen == std::set<int64_t>{0, 1, 2});
  CHECK(block->draw_state()->step == 40);

  block->eval();
  CHECK(bit_equal(block->forward(x), block->branch(2).forward(x)));
  CHECK(block->open_branches() == Set{2});
  CHECK(block->draw_state()->step == 40);
}

TEST_CASE("ChoiceBlock: prints what it is", "[choice_block][print]") {
  ChoiceBlock block(
      {{"fc", Linear(4, 3)},
       {"act", torch::nn::Sequential(torch::nn::ReLU())}});
  std::ostringstream stream;
  stream << *block;
  CHECK(
      stream.str() ==
      "gatedpaths::ChoiceBlock(reduction=kSum, skip=kZeroFill, min_open=1, "
      "max_open=1, open=[fc])(\n"
      "  (fc): torch::nn::Linear(in_features=4, out_features=3, bias=true)\n"
      "  (act): torch::nn::Sequential(\n"
      "    (0): torch::nn::ReLU()\n"
      "  )\n"
      ")");
  auto other = three_of_choice(ChoiceBlockOptions()
                                   .min_open(0)
                                   .max_open(2)
                                   .skip(Skip::kNoGrad)
                                   .reduction(Reduction::kMean));
  std::ostringstream line;
  other->pretty_print(line);
  CHECK(
      line.str() ==
      "gatedpaths::ChoiceBlock(reduction=kMean, skip=kNoGrad, min_open=0, "
      "max_open=2, open=[a, b])");
}

TEST_CASE(
    "ChoiceBlock: refuses what it cannot be made of", "[choice_block][error]") {
  const auto made = [](const std::vector<NamedBranch<>>& branches,
                       const ChoiceBlockOptions& options = {}) {
    return message_of<c10::ValueError>(
        [&] { ChoiceBlock<> block(options, branches); });
  };
  const auto a = choice_linear();
  CHECK(made({}) == "ChoiceBlock: expected at least one branch, got none");
  CHECK(
      made({{"a", a}, {"b", choice_linear()}, {"a", choice_linear()}}) ==
      "ChoiceBlock: expected different branch names, got 'a' for branches 0 "
      "and 2");
  CHECK(
      made({{"a", a}, {"", choice_linear()}}) ==
      "ChoiceBlock: expected branch names that are not empty, got '' for "
      "branch 1");
  CHECK(
      made({{"conv.3", a}}) ==
      "ChoiceBlock: expected branch names without a dot, got 'conv.3' for "
      "branch 0");
  CHECK(
      made({{"a", a}, {"b", Linear(nullptr)}}) ==
      "ChoiceBlock: expected a module for branch 1 ('b'), got an empty holder");
  CHECK(
      made({{"a", a}, {"b", AnyBranch()}}) ==
      "ChoiceBlock: expected a module for branch 1 ('b'), got an empty holder");
  const std::string bounds =
      "ChoiceBlock: expected 0 <= min_open <= max_open <= 1 and max_open >= 1, "
      "got ";
  CHECK(
      made({{"a", a}}, ChoiceBlockOptions().max_open(2)) ==
      bounds + "min_open=1 and max_open=2");
  CHECK(
      made({{"a", a}}, ChoiceBlockOptions().min_open(0).max_open(0)) ==
      bounds + "min_open=0 and max_open=0");
  CHECK(
      made({{"a", a}}, ChoiceBlockOptions().min_open(-1)) ==
      bounds + "min_open=-1 and max_open=1");
  CHECK(
      made({{"a", a}}, ChoiceBlockOptions().min_open(2)) ==
      bounds + "min_open=2 and max_open=1");
  CHECK(
      made(
          {{"a", a}},
          ChoiceBlockOptions().closed_value(ClosedValue::kDetached)) ==
      "ChoiceBlock: expected skip=kNoGrad with closed_value=kDetached, got "
      "skip=kZeroFill, under which a closed branch does not run");
  CHECK(
      made({{"a", a}}, ChoiceBlockOptions().track_statistics(true)) ==
      "ChoiceBlock: expected skip=kNoGrad with track_statistics=true, got "
      "skip=kZeroFill, under which a closed branch does not run");
}

TEST_CASE(
    "ChoiceBlock: names the branch that is not there",
    "[choice_block][error]") {
  auto block = three_of_choice(ChoiceBlockOptions().max_open(2));
  block->set_open({0, 1});
  const std::string range = "expected a branch index in [0, 3), got ";
  CHECK(message_of<c10::IndexError>([&] {
          block->select(3);
        }) == "ChoiceBlock::set_open: " + range + "3");
  CHECK(message_of<c10::IndexError>([&] {
          block->set_open({0, -1});
        }) == "ChoiceBlock::set_open: " + range + "-1");
  CHECK(message_of<c10::IndexError>([&] {
          block->branch(7);
        }) == "ChoiceBlock::branch: " + range + "7");
  CHECK(message_of<c10::IndexError>([&] {
          block->branch_module(7);
        }) == "ChoiceBlock::branch_module: " + range + "7");
  const std::string names = "expected one of ('a', 'b', 'c'), got 'd'";
  CHECK(message_of<c10::IndexError>([&] {
          block->select("d");
        }) == "ChoiceBlock::branch_index: " + names);
  CHECK(message_of<c10::IndexError>([&] {
          block->branch("d");
        }) == "ChoiceBlock::branch_index: " + names);
  CHECK(message_of<c10::IndexError>([&] {
          block->set_open({"a", "d"});
        }) == "ChoiceBlock::set_open: " + names);
  CHECK(
      message_of<c10::ValueError>([&] { block->set_open({1, 1}); }) ==
      "ChoiceBlock::set_open: expected different branches, got 1 ('b') twice");
  CHECK(
      message_of<c10::ValueError>([&] { block->set_open({0, 1, 2}); }) ==
      "ChoiceBlock::set_open: expected 1 to 2 open branches, got 3 (0, 1, 2) "
      "of ('a', 'b', 'c')");
  CHECK(
      message_of<c10::ValueError>([&] { block->set_open({}); }) ==
      "ChoiceBlock::set_open: expected 1 to 2 open branches, got 0 () of ('a', "
      "'b', 'c')");
  CHECK(block->open_branches() == Set{0, 1});
}

TEST_CASE(
    "ChoiceBlock: branches of unlike shapes are an error",
    "[choice_block][error]") {
  const auto x = choice_input();
  SECTION("both open") {
    ChoiceBlock block(
        ChoiceBlockOptions().max_open(2),
        {{"a", choice_linear(3)}, {"b", choice_linear(5)}});
    const std::string expected =
        "ChoiceBlock::forward: branch 1 ('b') returned [2, 5], but branch 0 "
        "('a') returned [2, 3]; all dims must match";
    CHECK(message_of<c10::ValueError>([&] { block->forward(x); }) == expected);
    CHECK(message_of<c10::ValueError>([&] { block->forward(x); }) == expected);
  }
  SECTION("one after the other") {
    ChoiceBlock block({{"a", choice_linear(3)}, {"b", choice_linear(5)}});
    block->forward(x);
    block->select("b");
    CHECK(
        message_of<c10::ValueError>([&] { block->forward(x); }) ==
        "ChoiceBlock::forward: branch 1 ('b') returned [2, 5], but branch 0 "
        "('a') returned [2, 3]; all dims must match");
    block->select("a");
    CHECK(block->forward(x).size(1) == 3);
  }
  SECTION("declared") {
    ChoiceBlock block(
        ChoiceBlockOptions().min_open(0),
        {{"a", choice_linear(3), {3}}, {"b", choice_linear(5)}});
    block->set_open({});
    block->forward(x);
    block->select("b");
    CHECK(
        message_of<c10::ValueError>([&] { block->forward(x); }) ==
        "ChoiceBlock::forward: branch 1 ('b') returned [2, 5], but branch 0 "
        "('a') is declared to return [2, 3]; all dims must match");
  }
}

TEST_CASE(
    "ChoiceBlock: refuses inputs that are no tensor or elsewhere",
    "[choice_block][error]") {
  auto block = three_of_choice(ChoiceBlockOptions().min_open(0));
  block->draw_each_forward(1);
  CHECK(message_of<c10::ValueError>([&] {
          block->forward(torch::Tensor());
        }) == "ChoiceBlock::forward: expected a tensor, got an undefined one");
  CHECK(block->draw_state()->step == 0);  // nothing is lost
  block->stop_drawing();
  const auto meta = torch::zeros({2, 4}, torch::kMeta);
  const std::string expected =
      "ChoiceBlock::forward: expected an input on cpu, where branch 0 ('a') "
      "has its parameters, got one on meta";
  CHECK(message_of<c10::ValueError>([&] { block->forward(meta); }) == expected);
  block->set_open({});
  CHECK(message_of<c10::ValueError>([&] { block->forward(meta); }) == expected);

  ChoiceBlock nothing(
      ChoiceBlockOptions(), {{"none", FunctionChild([](const torch::Tensor&) {
                                return torch::Tensor();
                              })}});
  CHECK(
      message_of<c10::ValueError>([&] { nothing->forward(choice_input()); }) ==
      "ChoiceBlock::forward: expected branch 0 ('none') to return a tensor, "
      "got "
      "an undefined one");
}
