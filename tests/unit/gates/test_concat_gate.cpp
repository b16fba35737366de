// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/concat_gate.hpp>

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
using gatedpaths::ClosedValue;
using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::NamedBranch;
using gatedpaths::OutputShape;
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

Linear concat_linear(int64_t out = 3) { return Linear(4, out); }

torch::Tensor concat_input(int64_t samples = 2) {
  torch::manual_seed(1);
  return torch::randn({samples, 4});
}

// Widths 1, 2, 3, 4.
ConcatGate<Linear> four_to_concat(
    const ConcatGateOptions& options = ConcatGateOptions(1)) {
  torch::manual_seed(2);
  return {
      options,
      {{"a", concat_linear(1)},
       {"b", concat_linear(2)},
       {"c", concat_linear(3)},
       {"d", concat_linear(4)}}};
}

Set set_of_bits(unsigned bits) {
  Set open;
  for (int64_t i = 0; i < 4; ++i) {
    if ((bits >> static_cast<unsigned>(i)) & 1U) {
      open.push_back(i);
    }
  }
  return open;
}

// The concatenation written out by hand.
torch::Tensor concat_by_hand(
    const ConcatGate<Linear>& gate, const Set& open, const torch::Tensor& x) {
  std::vector<torch::Tensor> parts;
  for (int64_t i = 0; i < gate->num_branches(); ++i) {
    const bool is_open = std::find(open.begin(), open.end(), i) != open.end();
    parts.push_back(
        is_open ? gate->branch(i)->forward(x)
                : torch::zeros(
                      {x.size(0), gate->branch(i)->options.out_features()}));
  }
  return torch::cat(parts, 1);
}

std::vector<torch::Tensor> concat_gradients(
    const torch::Tensor& output, const std::vector<torch::Tensor>& inputs) {
  return torch::autograd::grad(
      {(output * torch::arange(output.size(1))).square().sum()},
      inputs,
      {},
      /*retain_graph=*/true,
      /*create_graph=*/false,
      /*allow_unused=*/true);
}

}  // namespace

TEST_CASE("ConcatGate: is made from named branches", "[concat_gate]") {
  const auto linear = concat_linear();
  ConcatGate gate(
      ConcatGateOptions(1),
      {{"a", linear}, {"b", torch::nn::Sequential(concat_linear())}});
  static_assert(std::is_same_v<decltype(gate), ConcatGate<AnyBranch>>);
  CHECK(gate->branch_names() == std::vector<std::string>{"a", "b"});
  CHECK(gate->branch("a").ptr() == linear.ptr());
  CHECK(gate->gate_kind() == "ConcatGate");
  CHECK(gate->options.dim() == 1);
  CHECK(gate->min_open() == 0);
  CHECK(gate->max_open() == 2);
  CHECK(gate->open_branches() == Set{0, 1});

  ConcatGate<Linear> typed(
      ConcatGateOptions(1), {{"a", linear}, {"b", concat_linear()}});
  static_assert(std::is_same_v<decltype(typed->branch(0)), Linear>);
  CHECK(typed->branch("a").ptr() == linear.ptr());

  const std::vector<NamedBranch<>> list = {
      {"x", linear}, {"y", concat_linear()}};
  ConcatGate from_list(ConcatGateOptions(1), list);
  static_assert(std::is_same_v<decltype(from_list), ConcatGate<AnyBranch>>);

  std::vector<NamedBranch<Linear>> typed_list;
  typed_list.emplace_back("x", linear);
  ConcatGate from_typed_list(ConcatGateOptions(1), typed_list);
  static_assert(std::is_same_v<decltype(from_typed_list), ConcatGate<Linear>>);

  ConcatGate typed_elements(
      ConcatGateOptions(1), {NamedBranch<Linear>("x", linear)});
  static_assert(std::is_same_v<decltype(typed_elements), ConcatGate<Linear>>);

  ConcatGate single(ConcatGateOptions(1), {{"only", linear}});
  CHECK(single->branch_names() == std::vector<std::string>{"only"});
}

TEST_CASE(
    "ConcatGate: unnamed branches are numbered, and typed where alike",
    "[concat_gate]") {
  const auto linear = concat_linear();
  ConcatGate alike(
      ConcatGateOptions(1), linear, concat_linear(), concat_linear());
  static_assert(std::is_same_v<decltype(alike), ConcatGate<Linear>>);
  CHECK(alike->branch_names() == std::vector<std::string>{"0", "1", "2"});
  CHECK(alike->branch(0).ptr() == linear.ptr());
  CHECK(alike->branch("2")->options.in_features() == 4);

  ConcatGate unlike(
      ConcatGateOptions(1), linear, torch::nn::Sequential(concat_linear()));
  static_assert(std::is_same_v<decltype(unlike), ConcatGate<AnyBranch>>);

  ConcatGate one(ConcatGateOptions(1), linear);
  static_assert(std::is_same_v<decltype(one), ConcatGate<Linear>>);

  ConcatGate values(ConcatGateOptions(1), LinearImpl(4, 3), LinearImpl(4, 2));
  static_assert(std::is_same_v<decltype(values), ConcatGate<LinearImpl>>);
  CHECK(values->forward(concat_input()).size(1) == 5);

  ConcatGate copy = alike;
  static_assert(std::is_same_v<decltype(copy), ConcatGate<Linear>>);
  CHECK(copy.ptr() == alike.ptr());
  ConcatGate deduced(alike.ptr());
  static_assert(std::is_same_v<decltype(deduced), ConcatGate<Linear>>);
  CHECK(deduced.ptr() == alike.ptr());
  CHECK(ConcatGate<>(nullptr).is_empty());
  ConcatGate any = nullptr;
  static_assert(std::is_same_v<decltype(any), ConcatGate<AnyBranch>>);
  CHECK(any.is_empty());
}

TEST_CASE(
    "ConcatGate: at most max_open branches are open at first",
    "[concat_gate]") {
  CHECK(
      four_to_concat(ConcatGateOptions(1).max_open(2))->open_branches() ==
      Set{0, 1});
  CHECK(
      four_to_concat(ConcatGateOptions(1).min_open(1).max_open(1))
          ->open_branches() == Set{0});
}

TEST_CASE(
    "ConcatGate: a closed branch keeps its place",
    "[concat_gate][forward][backward]") {
  const Skip skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  auto gate = four_to_concat(ConcatGateOptions(1).skip(skip));
  const auto x = concat_input().set_requires_grad(true);
  auto inputs = gate->parameters();
  inputs.push_back(x);
  for (unsigned bits = 0; bits < 16; ++bits) {
    const Set open = set_of_bits(bits);
    CAPTURE(skip, open);
    gate->set_open(open);
    const auto dense = gate->forward(x);
    const auto by_hand = concat_by_hand(gate, open, x);
    CHECK(bit_equal(dense, by_hand));
    CHECK(bit_equal(gate->forward_slots(x).dense(), dense));
    CHECK(dense.requires_grad() == !open.empty());
    if (open.empty()) {
      continue;
    }
    const auto expected = concat_gradients(by_hand, inputs);
    const auto gradients = concat_gradients(dense, inputs);
    const auto of_slots =
        concat_gradients(gate->forward_slots(x).dense(), inputs);
    for (size_t i = 0; i < inputs.size(); ++i) {
      CHECK(bit_equal(gradients[i], expected[i]));
      CHECK(bit_equal(of_slots[i], expected[i]));
    }
  }
}

TEST_CASE(
    "ConcatGate: weights behind it stay with their branch",
    "[concat_gate][forward][backward]") {
  // The reference masks the columns of the weights, so that a slot out of
  // place would meet the wrong ones.
  const Skip skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  auto gate = four_to_concat(ConcatGateOptions(1).skip(skip));
  const auto x = concat_input(5);
  torch::manual_seed(3);
  Linear behind(10, 6);
  const Set first_column = {0, 1, 3, 6, 10};
  for (unsigned bits = 1; bits < 16; ++bits) {
    const Set open = set_of_bits(bits);
    CAPTURE(skip, open);
    gate->set_open(open);
    behind->zero_grad();
    const auto output = behind->forward(gate->forward(x));
    output.sin().sum().backward();

    auto expected = behind->bias.detach().expand({5, 6});
    for (const int64_t i : open) {
      const auto at = static_cast<size_t>(i);
      const auto columns = behind->weight.detach().slice(
          1, first_column[at], first_column[at + 1]);
      expected = expected + gate->branch(i)->forward(x).mm(columns.t());
    }
    CHECK(largest_difference(output, expected) < 1e-5);
    for (int64_t i = 0; i < 4; ++i) {
      const auto at = static_cast<size_t>(i);
      const auto gradient = behind->weight.grad().slice(
          1, first_column[at], first_column[at + 1]);
      CHECK(all_zero(gradient) == !gate->is_open(i));
    }
  }
}

TEST_CASE(
    "ConcatGate: concatenates along any dim, slots of any width",
    "[concat_gate][forward]") {
  const int64_t dim = GENERATE(0, 1, 2, 3, -1, -2, -3, -4);
  const Skip skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  // Along the batch dim, a probe without a sample cannot tell a width.
  const bool seen_open = dim == 0 || dim == -4 ? true : GENERATE(true, false);
  CAPTURE(dim, skip, seen_open);
  const auto widened = [dim](int64_t times) {
    return FunctionChild([dim, times](const torch::Tensor& x) {
      return torch::cat(
          std::vector<torch::Tensor>(static_cast<size_t>(times), x * times),
          dim);
    });
  };
  ConcatGate gate(
      ConcatGateOptions(dim).skip(skip), widened(1), widened(2), widened(3));
  torch::manual_seed(1);
  const auto x = torch::randn({2, 3, 4, 5});
  if (seen_open) {
    gate->forward(x);
  }
  for (unsigned bits = 0; bits < 8; ++bits) {
    const Set open = set_of_bits(bits);
    CAPTURE(open);
    std::vector<torch::Tensor> parts;
    for (int64_t i = 0; i < 3; ++i) {
      const bool is_open = std::find(open.begin(), open.end(), i) != open.end();
      const auto part = gate->branch(i)->forward(x);
      parts.push_back(is_open ? part : torch::zeros_like(part));
    }
    gate->set_open(open);
    CHECK(bit_equal(gate->forward(x), torch::cat(parts, dim)));
  }
  // Other numbers of samples.
  for (const int64_t samples : {1, 5, 0}) {
    gate->set_open({1});
    auto sizes = gate->forward(x).sizes().vec();
    const auto more = torch::randn({samples, 3, 4, 5});
    sizes[0] = sizes[0] / 2 * samples;
    CHECK(gate->forward(more).sizes() == torch::IntArrayRef(sizes));
  }
}

TEST_CASE(
    "ConcatGate: closed neighbours are one block of zeros",
    "[concat_gate][forward]") {
  auto gate = four_to_concat();
  const auto x = concat_input();
  const auto parts = [&](const Set& open) {
    gate->set_open(open);
    const auto output = gate->forward(x);
    REQUIRE(output.grad_fn()->name() == "CatBackward0");
    return output.grad_fn()->num_outputs();
  };
  CHECK(parts({0, 1, 2, 3}) == 4);
  CHECK(parts({0}) == 2);
  CHECK(parts({3}) == 2);
  CHECK(parts({1}) == 3);
  CHECK(parts({0, 3}) == 3);
  CHECK(parts({1, 3}) == 4);
}

TEST_CASE("ConcatGate: one branch is its own slot", "[concat_gate][forward]") {
  const Skip skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  auto linear = concat_linear();
  ConcatGate gate(ConcatGateOptions(1).skip(skip), linear);
  const auto x = concat_input();
  CHECK(bit_equal(gate->forward(x), linear->forward(x)));
  gate->set_open({});
  CHECK(gate->forward(x).sizes() == torch::IntArrayRef({2, 3}));
  CHECK(all_zero(gate->forward(x)));
}

TEST_CASE(
    "ConcatGate: opens by index, by name, and none", "[concat_gate][forward]") {
  auto gate = four_to_concat();
  gate->set_open({0});
  CHECK(gate->open_branches() == Set{0});
  gate->set_open({"d", "b"});
  CHECK(gate->open_branches() == Set{1, 3});
  gate->set_open({"c"});
  CHECK(gate->open_branches() == Set{2});
  gate->set_open({3, 0, 1});
  CHECK(gate->open_branches() == Set{0, 1, 3});
  gate->set_open({});
  CHECK(gate->open_branches().empty());
  const Set list = {2};
  gate->set_open(list);
  CHECK(gate->is_open("c"));
}

TEST_CASE(
    "ConcatGate: gradients agree with finite differences",
    "[concat_gate][backward]") {
  const Skip skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  auto gate = four_to_concat(ConcatGateOptions(1).skip(skip));
  Linear behind(10, 2);
  gate->to(torch::kDouble);
  behind->to(torch::kDouble);
  gate->set_open({1, 3});
  const auto x = concat_input().to(torch::kDouble).set_requires_grad(true);
  const auto loss = [&] {
    return torch::tanh(behind->forward(gate->forward(x))).square().sum();
  };
  loss().backward();
  CHECK(gradient_error(loss, x) < 1e-8);
  CHECK(gradient_error(loss, behind->weight) < 1e-8);
  for (const int64_t i : {1, 3}) {
    CHECK(gradient_error(loss, gate->branch(i)->weight) < 1e-8);
    CHECK(gradient_error(loss, gate->branch(i)->bias) < 1e-8);
  }
  CHECK_FALSE(gate->branch(0)->weight.grad().defined());
  CHECK_FALSE(gate->branch(2)->weight.grad().defined());
}

TEST_CASE(
    "ConcatGate: detached values stand in closed slots",
    "[concat_gate][forward]") {
  auto gate = four_to_concat(ConcatGateOptions(1)
                                 .skip(Skip::kNoGrad)
                                 .closed_value(ClosedValue::kDetached));
  const auto x = concat_input();
  gate->set_open({1});
  const auto output = gate->forward(x);
  CHECK(bit_equal(output, concat_by_hand(gate, {0, 1, 2, 3}, x)));
  output.sum().backward();
  for (int64_t i = 0; i < 4; ++i) {
    CHECK(gate->branch(i)->weight.grad().defined() == (i == 1));
  }
}

TEST_CASE(
    "ConcatGate: draws in training and holds what was applied in eval",
    "[concat_gate][random]") {
  auto gate = four_to_concat();
  const auto x = concat_input();
  gate->set_open({1, 2});
  gate->draw_each_forward(/*seed=*/5);
  std::set<Set> seen;
  for (int i = 0; i < 200; ++i) {
    const auto output = gate->forward(x);
    const Set open = gate->open_branches().vec();
    seen.insert(open);
    CHECK(bit_equal(output, concat_by_hand(gate, open, x)));
  }
  CHECK(seen.size() == 16);

  gate->eval();
  CHECK(bit_equal(gate->forward(x), concat_by_hand(gate, {1, 2}, x)));
  gate->train();
  gate->stop_drawing();
  CHECK(bit_equal(gate->forward(x), concat_by_hand(gate, {1, 2}, x)));
}

TEST_CASE(
    "ConcatGate: moves to another dtype, zeros included",
    "[concat_gate][forward]") {
  auto gate = four_to_concat();
  gate->set_open({0});
  const auto x = concat_input();
  gate->forward(x);
  gate->to(torch::kDouble);
  const auto output = gate->forward(x.to(torch::kDouble));
  CHECK(output.scalar_type() == torch::kDouble);
  gate->set_open({});
  CHECK(gate->forward(x.to(torch::kDouble)).scalar_type() == torch::kDouble);
  gate->to(torch::Device(torch::kCPU), torch::kFloat);
  CHECK(gate->forward(x).scalar_type() == torch::kFloat);
  gate->to(torch::Device(torch::kCPU));
  CHECK(gate->forward(x).scalar_type() == torch::kFloat);
}

TEST_CASE("ConcatGate: prints what it is", "[concat_gate][print]") {
  ConcatGate gate(
      ConcatGateOptions(-1).min_open(1).max_open(1).skip(Skip::kNoGrad),
      {{"a", concat_linear()}, {"b", torch::nn::ReLU()}});
  gate->set_open({"b"});
  std::ostringstream stream;
  stream << *gate;
  CHECK(
      stream.str() ==
      "gatedpaths::ConcatGate(dim=-1, skip=kNoGrad, min_open=1, max_open=1, "
      "open=[b])(\n"
      "  (a): torch::nn::Linear(in_features=4, out_features=3, bias=true)\n"
      "  (b): torch::nn::ReLU()\n"
      ")");
  auto all = four_to_concat();
  std::ostringstream line;
  all->pretty_print(line);
  CHECK(
      line.str() ==
      "gatedpaths::ConcatGate(dim=1, skip=kZeroFill, min_open=0, max_open=4, "
      "open=[a, b, c, d])");
  all->set_open({});
  line.str("");
  all->pretty_print(line);
  CHECK(
      line.str() ==
      "gatedpaths::ConcatGate(dim=1, skip=kZeroFill, min_open=0, max_open=4, "
      "open=[])");
}

TEST_CASE(
    "ConcatGate: refuses what it cannot be made of", "[concat_gate][error]") {
  const auto made = [](const std::vector<NamedBranch<>>& branches,
                       const ConcatGateOptions& options =
                           ConcatGateOptions(1)) {
    return message_of<c10::ValueError>(
        [&] { ConcatGate<> gate(options, branches); });
  };
  const auto a = concat_linear();
  CHECK(made({}) == "ConcatGate: expected at least one branch, got none");
  CHECK(
      made({{"a", a}, {"a", concat_linear()}}) ==
      "ConcatGate: expected different branch names, got 'a' for branches 0 and "
      "1");
  CHECK(
      made({{"", a}}) ==
      "ConcatGate: expected branch names that are not empty, got '' for branch "
      "0");
  CHECK(
      made({{"a", a}, {"b.c", concat_linear()}}) ==
      "ConcatGate: expected branch names without a dot, got 'b.c' for branch "
      "1");
  CHECK(
      made({{"a", Linear(nullptr)}}) ==
      "ConcatGate: expected a module for branch 0 ('a'), got an empty holder");
  CHECK(
      message_of<c10::ValueError>(
          [&] { ConcatGate gate(ConcatGateOptions(1), a, Linear(nullptr)); }) ==
      "ConcatGate: expected a module for branch 1 ('1'), got an empty holder");
  CHECK(
      made({{"a", a}}, ConcatGateOptions(1).max_open(2)) ==
      "ConcatGate: expected 0 <= min_open <= max_open <= 1 and max_open >= 1, "
      "got min_open=0 and max_open=2");
  CHECK(
      made({{"a", a}}, ConcatGateOptions(1).min_open(2)) ==
      "ConcatGate: expected 0 <= min_open <= max_open <= 1 and max_open >= 1, "
      "got min_open=2 and max_open=1");
  CHECK(
      made(
          {{"a", a}},
          ConcatGateOptions(1).closed_value(ClosedValue::kDetached)) ==
      "ConcatGate: expected skip=kNoGrad with closed_value=kDetached, got "
      "skip=kZeroFill, under which a closed branch does not run");
  CHECK(
      made({{"a", a}}, ConcatGateOptions(1).track_statistics(true)) ==
      "ConcatGate: expected skip=kNoGrad with track_statistics=true, got "
      "skip=kZeroFill, under which a closed branch does not run");
  CHECK(
      message_of<c10::ValueError>(
          [] { ConcatGateOptions(1).output_shape({4, -2}); }) ==
      "OutputShape: expected sizes of at least 0, without the batch dim, got "
      "[4, -2]");
}

TEST_CASE(
    "ConcatGate: names the branch that is not there", "[concat_gate][error]") {
  auto gate = four_to_concat(ConcatGateOptions(1).min_open(1).max_open(2));
  gate->set_open({3, 2});
  CHECK(message_of<c10::IndexError>([&] {
          gate->set_open({4});
        }) == "ConcatGate::set_open: expected a branch index in [0, 4), got 4");
  CHECK(message_of<c10::IndexError>([&] {
          gate->branch(-1);
        }) == "ConcatGate::branch: expected a branch index in [0, 4), got -1");
  CHECK(
      message_of<c10::IndexError>([&] { gate->set_open({"e"}); }) ==
      "ConcatGate::set_open: expected one of ('a', 'b', 'c', 'd'), got 'e'");
  CHECK(
      message_of<c10::IndexError>([&] { gate->branch("e"); }) ==
      "ConcatGate::branch_index: expected one of ('a', 'b', 'c', 'd'), got "
      "'e'");
  CHECK(
      message_of<c10::ValueError>([&] { gate->set_open({"a", "a"}); }) ==
      "ConcatGate::set_open: expected different branches, got 0 ('a') twice");
  CHECK(
      message_of<c10::ValueError>([&] { gate->set_open({}); }) ==
      "ConcatGate::set_open: expected 1 to 2 open branches, got 0 () of ('a', "
      "'b', 'c', 'd')");
  CHECK(
      message_of<c10::ValueError>([&] { gate->set_open({0, 1, 3}); }) ==
      "ConcatGate::set_open: expected 1 to 2 open branches, got 3 (0, 1, 3) of "
      "('a', 'b', 'c', 'd')");
  CHECK(gate->open_branches() == Set{2, 3});
}

TEST_CASE(
    "ConcatGate: outputs that do not concatenate are an error",
    "[concat_gate][error]") {
  const auto reshaped = [](torch::IntArrayRef sizes) {
    return FunctionChild([sizes = sizes.vec()](const torch::Tensor& x) {
      std::vector<int64_t> all = {x.size(0)};
      all.insert(all.end(), sizes.begin(), sizes.end());
      return torch::zeros(all);
    });
  };
  const auto x = concat_input();
  const std::string end = "; all dims except dim=1 must match";
  SECTION("both open") {
    ConcatGate gate(
        ConcatGateOptions(1),
        {{"a", reshaped({2, 5, 5})}, {"b", reshaped({3, 5, 4})}});
    const std::string expected =
        "ConcatGate::forward: branch 1 ('b') returned [2, 3, 5, 4], but branch "
        "0 ('a') returned [2, 2, 5, 5]" +
        end;
    CHECK(message_of<c10::ValueError>([&] { gate->forward(x); }) == expected);
    CHECK(message_of<c10::ValueError>([&] { gate->forward(x); }) == expected);
    CHECK(message_of<c10::ValueError>([&] {
            gate->forward_slots(x);
          }) == expected);
  }
  SECTION("one closed and probed") {
    ConcatGate gate(
        ConcatGateOptions(1),
        {{"a", reshaped({2, 5, 5})}, {"b", reshaped({3, 5, 4})}});
    gate->set_open({0});
    const std::string expected =
        "ConcatGate::forward: branch 1 ('b') would return [2, 3, 5, 4], but "
        "branch 0 ('a') returned [2, 2, 5, 5]" +
        end;
    CHECK(message_of<c10::ValueError>([&] { gate->forward(x); }) == expected);
    CHECK(message_of<c10::ValueError>([&] { gate->forward(x); }) == expected);
  }
  SECTION("one closed and declared") {
    ConcatGate gate(
        ConcatGateOptions(1),
        {{"a", reshaped({2, 5, 5})}, {"b", reshaped({3, 5, 5}), {3, 4, 5}}});
    gate->set_open({0});
    const std::string expected =
        "ConcatGate::forward: branch 1 ('b') is declared to return [2, 3, 4, "
        "5], but branch 0 ('a') returned [2, 2, 5, 5]" +
        end;
    CHECK(message_of<c10::ValueError>([&] { gate->forward(x); }) == expected);
    CHECK(message_of<c10::ValueError>([&] { gate->forward(x); }) == expected);
  }
  SECTION("unlike numbers of dims") {
    ConcatGate gate(
        ConcatGateOptions(1), {{"a", reshaped({2})}, {"b", reshaped({2, 1})}});
    CHECK(
        message_of<c10::ValueError>([&] { gate->forward(x); }) ==
        "ConcatGate::forward: branch 1 ('b') returned [2, 2, 1], but branch 0 "
        "('a') returned [2, 2]" +
            end);
  }
}

TEST_CASE(
    "ConcatGate: a dim that the outputs lack is an error",
    "[concat_gate][error]") {
  const auto x = concat_input();
  const int64_t dim = GENERATE(2, -3);
  const auto expected = [dim](const std::string& returned) {
    return "ConcatGate::forward: expected outputs with a dim=" +
           std::to_string(dim) + ", but branch 0 ('a') " + returned + " [2, 3]";
  };
  ConcatGate one(ConcatGateOptions(dim), {{"a", concat_linear()}});
  CHECK(message_of<c10::ValueError>([&] {
          one->forward(x);
        }) == expected("returned"));
  one->set_open({});
  CHECK(message_of<c10::ValueError>([&] {
          one->forward(x);
        }) == expected("would return"));
  CHECK(message_of<c10::ValueError>([&] {
          one->forward(x);
        }) == expected("would return"));
  ConcatGate two(
      ConcatGateOptions(dim), {{"a", concat_linear()}, {"b", concat_linear()}});
  CHECK(message_of<c10::ValueError>([&] {
          two->forward(x);
        }) == expected("returned"));
}

TEST_CASE(
    "ConcatGate: refuses inputs that are no tensor or elsewhere",
    "[concat_gate][error]") {
  auto gate = four_to_concat(ConcatGateOptions(1).output_shape(
      OutputShape([](c10::IntArrayRef) { return Set{3}; })));
  gate->draw_each_forward(1);
  CHECK(message_of<c10::ValueError>([&] {
          gate->forward(torch::Tensor());
        }) == "ConcatGate::forward: expected a tensor, got an undefined one");
  CHECK(gate->draw_state()->step == 0);  // nothing is lost
  gate->stop_drawing();

  const auto meta = torch::zeros({2, 4}, torch::kMeta);
  const auto expected = [](const std::string& branch) {
    return "ConcatGate::forward: expected an input on cpu, where branch " +
           branch + " has its parameters, got one on meta";
  };
  gate->set_open({2});
  CHECK(message_of<c10::ValueError>([&] {
          gate->forward(meta);
        }) == expected("2 ('c')"));
  gate->set_open({});
  CHECK(message_of<c10::ValueError>([&] {
          gate->forward(meta);
        }) == expected("0 ('a')"));

  ConcatGate no_grad(ConcatGateOptions(1).skip(Skip::kNoGrad), concat_linear());
  no_grad->set_open({});
  CHECK(message_of<c10::ValueError>([&] {
          no_grad->forward(meta);
        }) == expected("0 ('0')"));
}

TEST_CASE(
    "ConcatGate: refuses branches that return tensors elsewhere",
    "[concat_gate][error]") {
  const FunctionChild moves(
      [](const torch::Tensor& x) { return x.to(torch::kMeta); });
  ConcatGate gate(
      ConcatGateOptions(1), {{"a", concat_linear(4)}, {"b", moves}});
  CHECK(
      message_of<c10::ValueError>([&] { gate->forward(concat_input()); }) ==
      "ConcatGate::forward: branch 1 ('b') returned a tensor on meta, but "
      "branch 0 ('a') one on cpu");
}

TEST_CASE(
    "ConcatGate: branches that share a module register it once",
    "[concat_gate][backward]") {
  const auto shared = concat_linear();
  ConcatGate<Linear> gate(
      ConcatGateOptions(1),
      {{"a", shared}, {"b", concat_linear()}, {"c", shared}});
  CHECK(gate->branch("a").ptr() == gate->branch("c").ptr());
  CHECK(&gate->branch_module(2) == shared.get());
  const auto keys = gate->named_parameters().keys();
  CHECK(
      keys ==
      std::vector<std::string>{"a.weight", "a.bias", "b.weight", "b.bias"});

  // Both places add to one gradient, and the optimizer takes one step.
  const auto x = concat_input();
  gate->set_open({0, 2});
  torch::optim::SGD optimizer(gate->parameters(), 0.5);
  const auto before = shared->weight.detach().clone();
  gate->forward(x).sum().backward();
  const auto once = x.sum(0).expand({3, 4});
  CHECK(largest_difference(shared->weight.grad(), 2 * once) < 1e-5);
  optimizer.step();
  CHECK(largest_difference(shared->weight, before - once) < 1e-5);

  gate->set_open({2});
  const auto output = gate->forward(x);
  CHECK(all_zero(output.narrow(1, 0, 6)));
  CHECK(bit_equal(output.narrow(1, 6, 3), gate->branch(0)->forward(x)));
}
