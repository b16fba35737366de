// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/gated_branch.hpp>

#include <torch/nn/cloneable.h>
#include <torch/nn/modules/container/any.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/serialize.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/counting_child.hpp"
#include "support/errors.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using Catch::Matchers::StartsWith;
using gatedpaths::ClosedValue;
using gatedpaths::DrawState;
using gatedpaths::GatedBranch;
using gatedpaths::GatedBranchImpl;
using gatedpaths::GatedBranchOptions;
using gatedpaths::GatedModule;
using gatedpaths::OutputShape;
using gatedpaths::Skip;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::all_defined;
using gatedpaths::test::all_zero;
using gatedpaths::test::bit_equal;
using gatedpaths::test::CallLog;
using gatedpaths::test::copies_of;
using gatedpaths::test::gradients_of;
using gatedpaths::test::message_of;
using gatedpaths::test::none_defined;

namespace {

GatedBranchOptions branch_skip(Skip skip) {
  return GatedBranchOptions().skip(skip);
}

// Two defaulted arguments.
struct BranchScaleImpl : torch::nn::Module {
  torch::Tensor forward(
      const torch::Tensor& x, double scale = 2, bool negate = false) {
    return x * (negate ? -scale : scale);
  }
};
TORCH_MODULE(BranchScale);

// Three defaulted arguments, of which the last decides a size.
struct BranchManyImpl : torch::nn::Module {
  torch::Tensor forward(
      torch::Tensor x,
      const std::optional<torch::Tensor>& y = std::nullopt,
      const std::string& text = "",
      int64_t times = 1) {
    const auto sum = y ? x + *y : x;
    return sum.repeat({1, times}) + static_cast<double>(text.size());
  }
};
TORCH_MODULE(BranchMany);

// Two required arguments, taken by value.
struct BranchAddImpl : torch::nn::Module {
  BranchAddImpl() { weight = register_parameter("weight", torch::ones({3})); }
  torch::Tensor forward(torch::Tensor x, torch::Tensor y) {
    return x * weight + y;
  }
  torch::Tensor weight;
};
TORCH_MODULE(BranchAdd);

using Nested = std::tuple<
    torch::Tensor,
    std::vector<torch::Tensor>,
    std::optional<torch::Tensor>,
    std::pair<torch::Tensor, std::optional<std::vector<torch::Tensor>>>>;

// All forms of output in one, one of its optionals being empty.
struct BranchNestedImpl : torch::nn::Module {
  BranchNestedImpl() {
    linear = register_module("linear", torch::nn::Linear(3, 2));
  }

  Nested forward(const torch::Tensor& x) {
    log.add(x, is_training());
    const auto y = linear->forward(x);
    return {
        y,
        {x.to(torch::kDouble), y.unsqueeze(1), y.argmax(1)},
        std::nullopt,
        {x.sum(), std::vector<torch::Tensor>{y.t()}}};
  }

  torch::nn::Linear linear = nullptr;
  CallLog log;
};

struct BranchTakesNothingImpl : torch::nn::Module {
  torch::Tensor forward(int64_t size) { return torch::ones({size}); }
};
TORCH_MODULE(BranchTakesNothing);

struct BranchParentImpl : torch::nn::Cloneable<BranchParentImpl> {
  BranchParentImpl() { reset(); }
  void reset() override {
    branch = register_module(
        "gate", GatedBranch<torch::nn::Linear>(torch::nn::Linear(3, 4)));
  }
  GatedBranch<torch::nn::Linear> branch = nullptr;
};

std::string branch_text(const torch::nn::Module& module) {
  std::ostringstream stream;
  module.pretty_print(stream);
  return stream.str();
}

// Elsewhere 0 names a branch; here it would close it.
template <class Open>
concept OpensGatedBranch =
    requires(GatedBranchImpl<torch::nn::Linear>& branch, Open open) {
      branch.set_open(open);
    };
static_assert(OpensGatedBranch<bool>);
static_assert(OpensGatedBranch<std::vector<bool>::reference>);
static_assert(OpensGatedBranch<std::vector<int64_t>>);
static_assert(OpensGatedBranch<std::vector<std::string>>);
static_assert(!OpensGatedBranch<int>);
static_assert(!OpensGatedBranch<int64_t>);
static_assert(!OpensGatedBranch<size_t>);
static_assert(!OpensGatedBranch<char>);

}  // namespace

TEST_CASE("GatedBranch: options have defaults", "[gated_branch][options]") {
  const GatedBranchOptions options;
  CHECK(options.skip() == Skip::kZeroFill);
  CHECK(options.closed_value() == ClosedValue::kZeros);
  CHECK_FALSE(options.track_statistics());
  CHECK_FALSE(options.output_shape().has_sizes());

  const auto set = GatedBranchOptions()
                       .skip(Skip::kNoGrad)
                       .closed_value(ClosedValue::kDetached)
                       .track_statistics(true)
                       .output_shape({4});
  GatedBranch branch(torch::nn::Linear(3, 4), set);
  CHECK(branch->options.skip() == Skip::kNoGrad);
  CHECK(branch->options.closed_value() == ClosedValue::kDetached);
  CHECK(branch->options.track_statistics());
  CHECK(branch->options.output_shape().has_sizes());
}

TEST_CASE("GatedBranch: is open until it is closed", "[gated_branch]") {
  GatedBranch branch(torch::nn::Linear(3, 4));
  CHECK(branch->is_open());
  branch->set_open(false);
  CHECK_FALSE(branch->is_open());
  branch->set_open(false);
  CHECK_FALSE(branch->is_open());
  branch->set_open(true);
  CHECK(branch->is_open());
  branch->set_open({});
  CHECK_FALSE(branch->is_open());
  branch->set_open({0});
  CHECK(branch->is_open());

  GatedModule& gate = *branch;
  CHECK(gate.branch_names() == std::vector<std::string>{"branch"});
  CHECK(gate.min_open() == 0);
  CHECK(gate.max_open() == 1);
  CHECK(gate.gate_kind() == "GatedBranch");
  CHECK(&gate.branch_module(0) == branch->child().get());
  gate.set_open(c10::IntArrayRef());
  CHECK_FALSE(branch->is_open());
  gate.set_open({"branch"});
  CHECK(branch->is_open());
  CHECK(branch->is_open(0));
  CHECK(branch->is_open("branch"));
  CHECK(
      message_of<c10::IndexError>([&] { gate.branch_module(1); }) ==
      "GatedBranch::branch_module: expected a branch index in [0, 1), got 1");
  CHECK(
      message_of<c10::IndexError>([&] { gate.set_open({1}); }) ==
      "GatedBranch::set_open: expected a branch index in [0, 1), got 1");
}

TEST_CASE(
    "GatedBranch: takes a holder, a pointer or a module, and gives it back "
    "typed",
    "[gated_branch]") {
  using torch::nn::Linear;
  using torch::nn::LinearImpl;
  const Linear holder(3, 4);
  GatedBranch of_holder(holder);
  static_assert(std::is_same_v<decltype(of_holder), GatedBranch<Linear>>);
  static_assert(std::is_same_v<decltype(of_holder->child()), Linear>);
  CHECK(of_holder->child().ptr() == holder.ptr());

  GatedBranch of_pointer(std::make_shared<LinearImpl>(3, 4));
  static_assert(std::is_same_v<
                decltype(of_pointer->child()),
                std::shared_ptr<LinearImpl>>);
  CHECK(of_pointer->child()->options.out_features() == 4);

  GatedBranch of_value(LinearImpl(3, 4));
  static_assert(std::is_same_v<decltype(of_value), GatedBranch<LinearImpl>>);
  CHECK(of_value->child()->options.in_features() == 3);

  GatedBranch<Linear> explicit_type(holder.ptr());
  CHECK(explicit_type->child().ptr() == holder.ptr());
  CHECK(explicit_type->named_parameters().contains("branch.weight"));
  CHECK(explicit_type->parameters().size() == 2);

  GatedBranch<Linear> empty = nullptr;
  CHECK(empty.is_empty());
  empty = explicit_type;
  CHECK(empty->child().ptr() == holder.ptr());
}

TEST_CASE(
    "GatedBranch: one in a Sequential is called like its child",
    "[gated_branch][forward]") {
  torch::manual_seed(1);
  torch::nn::ConvTranspose2d up(torch::nn::ConvTranspose2dOptions(3, 2, 2));
  GatedBranch no_default(torch::nn::Conv2d(2, 3, 1));
  GatedBranch by_value{torch::nn::ReLU()};
  GatedBranch one_default(up);
  GatedBranch two_defaults{BranchScale()};
  GatedBranch of_template(torch::nn::Sequential(torch::nn::Conv2d(2, 2, 1)));
  torch::nn::Sequential net(
      no_default, by_value, one_default, two_defaults, of_template);
  const auto x = torch::randn({4, 2, 5, 5});
  const auto by_hand = of_template->child()->forward(
      2 * up->forward(torch::relu(no_default->child()->forward(x))));
  CHECK(bit_equal(net->forward(x), by_hand));
  by_value->set_open(false);
  two_defaults->set_open(false);
  CHECK(bit_equal(
      net->forward(x),
      of_template->child()->forward(torch::zeros({4, 2, 6, 6}))));
}

TEST_CASE(
    "GatedBranch: can be a torch::nn::AnyModule", "[gated_branch][forward]") {
  torch::nn::AnyModule any{GatedBranch{BranchScale()}};
  const auto x = torch::ones({2, 3});
  CHECK(bit_equal(any.forward(x), 2 * x));
  torch::nn::AnyModule sum{GatedBranch{BranchAdd()}};
  CHECK(bit_equal(sum.forward(x, x), 2 * x));
  any.ptr()->as<GatedBranch<BranchScale>>()->set_open(false);
  CHECK(all_zero(any.forward(x)));
}

TEST_CASE(
    "GatedBranch: arguments left out have the child's defaults",
    "[gated_branch][forward]") {
  const auto x = torch::randn({2, 3});
  GatedBranch scale{BranchScale()};
  CHECK(bit_equal(scale->forward(x), x * 2));
  CHECK(bit_equal(scale->forward(x, 3), x * 3));
  CHECK(bit_equal(scale->forward(x, 3.5, true), x * -3.5));
  CHECK(
      message_of<c10::ValueError>([&] { scale->forward(x, {}, true); }) ==
      "forward: expected no argument after the first one that is left out");

  GatedBranch many{BranchMany()};
  CHECK(bit_equal(many->forward(x), x));
  CHECK(bit_equal(many->forward(x, x), x + x));
  CHECK(bit_equal(many->forward(x, std::nullopt, "ab"), x + 2));
  CHECK(many->forward(x, x, "ab", 3).sizes() == c10::IntArrayRef({2, 9}));
}

TEST_CASE(
    "GatedBranch: plain arguments that decide a shape are told apart",
    "[gated_branch][forward]") {
  const auto skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  CAPTURE(skip);
  SECTION("an integer") {
    GatedBranch many(BranchMany(), branch_skip(skip));
    const auto x = torch::randn({2, 3});
    many->set_open(false);
    for (const int64_t times : {1, 4, 2, 1}) {
      CHECK(
          many->forward(x, std::nullopt, "", times).sizes() ==
          c10::IntArrayRef({2, 3 * times}));
    }
  }
  SECTION("an output size") {
    torch::nn::ConvTranspose2d up(
        torch::nn::ConvTranspose2dOptions(3, 4, 3).stride(2).padding(1));
    GatedBranch branch(up, branch_skip(skip));
    const auto x = torch::randn({2, 3, 5, 5});
    const std::vector<int64_t> even = {10, 10};
    const std::vector<int64_t> odd = {9, 9};
    CHECK(bit_equal(branch->forward(x), up->forward(x)));
    CHECK(bit_equal(branch->forward(x, even), up->forward(x, even)));
    branch->set_open(false);
    const auto check = [&](const torch::Tensor& output, int64_t size) {
      CHECK(output.sizes() == c10::IntArrayRef({2, 4, size, size}));
      CHECK(all_zero(output));
    };
    check(branch->forward(x, even), 10);
    check(branch->forward(x, odd), 9);
    check(branch->forward(x), 9);
    check(branch->forward(x, even), 10);
    GatedBranch fresh(up, branch_skip(skip));
    fresh->set_open(false);
    check(fresh->forward(x), 9);
    check(fresh->forward(x, even), 10);
  }
}

TEST_CASE(
    "GatedBranch: a child may take several tensors",
    "[gated_branch][forward][backward]") {
  const auto skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  CAPTURE(skip);
  GatedBranch branch(BranchAdd(), branch_skip(skip));
  const auto x = torch::randn({5, 3});
  const auto y = torch::randn({5, 3}, torch::requires_grad());
  CHECK(bit_equal(branch->forward(x, y), x + y));
  branch->set_open(false);
  const auto closed = branch->forward(x, y);
  CHECK(all_zero(closed));
  CHECK(closed.sizes() == c10::IntArrayRef({5, 3}));
  CHECK_FALSE(closed.requires_grad());
  // Of other kinds than before: another batch, and one that is broadcast.
  CHECK(
      branch->forward(torch::ones({2, 3}), torch::ones({2, 3})).sizes() ==
      c10::IntArrayRef({2, 3}));
  CHECK(
      branch->forward(torch::ones({2, 3}), torch::ones({3})).sizes() ==
      c10::IntArrayRef({2, 3}));

  GatedBranch bilinear(
      torch::nn::Bilinear(torch::nn::BilinearOptions(3, 4, 2)),
      branch_skip(skip));
  bilinear->set_open(false);
  CHECK(
      bilinear->forward(torch::ones({6, 3}), torch::ones({6, 4})).sizes() ==
      c10::IntArrayRef({6, 2}));
}

TEST_CASE(
    "GatedBranch: an LSTM closes to zeros of its output and states",
    "[gated_branch][forward][backward]") {
  const auto skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  const bool batch_first = GENERATE(true, false);
  const bool with_state = GENERATE(true, false);
  const bool open_first = GENERATE(true, false);
  CAPTURE(skip, batch_first, with_state, open_first);

  torch::manual_seed(1);
  torch::nn::LSTM lstm(
      torch::nn::LSTMOptions(3, 4).num_layers(2).batch_first(batch_first));
  GatedBranch branch(lstm, branch_skip(skip));
  const auto input = [&](int64_t samples) {
    return batch_first ? torch::randn({samples, 7, 3})
                       : torch::randn({7, samples, 3});
  };
  const auto run = [&](int64_t samples) {
    if (with_state) {
      return branch->forward(
          input(samples),
          std::make_tuple(
              torch::randn({2, samples, 4}), torch::randn({2, samples, 4})));
    }
    return branch->forward(input(samples));
  };
  if (open_first) {
    auto [output, state] = run(5);
    const auto alone = std::get<0>(lstm->forward(input(5)));
    CHECK(output.sizes() == alone.sizes());
    output.sum().backward();
    CHECK(all_defined(gradients_of(*lstm)));
    branch->zero_grad();
  }
  branch->set_open(false);
  for (const int64_t samples : {5, 2, 1, 5, 9}) {
    CAPTURE(samples);
    const auto [output, state] = run(samples);
    const auto& [hidden, cell] = state;
    CHECK(
        output.sizes() == (batch_first ? c10::IntArrayRef({samples, 7, 4})
                                       : c10::IntArrayRef({7, samples, 4})));
    CHECK(hidden.sizes() == c10::IntArrayRef({2, samples, 4}));
    CHECK(cell.sizes() == c10::IntArrayRef({2, samples, 4}));
    for (const auto& tensor : {output, hidden, cell}) {
      CHECK(all_zero(tensor));
      CHECK_FALSE(tensor.requires_grad());
    }
  }
  CHECK(none_defined(gradients_of(*lstm)));
}

TEST_CASE(
    "GatedBranch: a GRU takes a state or none", "[gated_branch][forward]") {
  const auto skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  CAPTURE(skip);
  torch::nn::GRU gru(torch::nn::GRUOptions(3, 4).batch_first(true));
  GatedBranch branch(gru, branch_skip(skip));
  const auto x = torch::randn({5, 7, 3});
  const auto h = torch::randn({1, 5, 4});
  CHECK(bit_equal(
      std::get<0>(branch->forward(x, h)), std::get<0>(gru->forward(x, h))));
  CHECK(
      bit_equal(std::get<0>(branch->forward(x)), std::get<0>(gru->forward(x))));
  branch->set_open(false);
  const auto [output, state] = branch->forward(x, h);
  CHECK(output.sizes() == c10::IntArrayRef({5, 7, 4}));
  CHECK(state.sizes() == c10::IntArrayRef({1, 5, 4}));
  // One sample: the state's first size is the batch's too.
  const auto [one, one_state] =
      branch->forward(x.narrow(0, 0, 1), h.narrow(1, 0, 1));
  CHECK(one.sizes() == c10::IntArrayRef({1, 7, 4}));
  CHECK(one_state.sizes() == c10::IntArrayRef({1, 1, 4}));
}

TEST_CASE(
    "GatedBranch: attention closes, with its weights and without",
    "[gated_branch][forward]") {
  const auto skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  const bool open_first = GENERATE(true, false);
  CAPTURE(skip, open_first);
  torch::nn::MultiheadAttention attention(4, 2);
  GatedBranch branch(attention, branch_skip(skip));
  const auto x = torch::randn({5, 2, 4});
  const auto memory = torch::randn({3, 2, 4});
  if (open_first) {
    const auto [output, weights] = branch->forward(x, memory, memory);
    CHECK(
        bit_equal(output, std::get<0>(attention->forward(x, memory, memory))));
    CHECK(weights.defined());
    CHECK_FALSE(std::get<1>(branch->forward(x, x, x, torch::Tensor(), false))
                    .defined());
  }
  branch->set_open(false);
  const auto [cross, cross_weights] = branch->forward(x, memory, memory);
  CHECK(cross.sizes() == x.sizes());
  CHECK(cross_weights.sizes() == c10::IntArrayRef({2, 5, 3}));
  const auto [self, self_weights] = branch->forward(x, x, x);
  CHECK(self.sizes() == x.sizes());
  CHECK(self_weights.sizes() == c10::IntArrayRef({2, 5, 5}));
  const auto [plain, no_weights] =
      branch->forward(x, x, x, torch::Tensor(), false);
  CHECK(plain.sizes() == x.sizes());
  CHECK(all_zero(plain));
  CHECK_FALSE(no_weights.defined());
}

TEST_CASE(
    "GatedBranch: nested outputs keep their form when closed",
    "[gated_branch][forward]") {
  const auto skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  const bool open_first = GENERATE(true, false);
  CAPTURE(skip, open_first);
  GatedBranch branch(std::make_shared<BranchNestedImpl>(), branch_skip(skip));
  const auto x = torch::randn({5, 3});
  if (open_first) {
    const auto [y, list, none, pair] = branch->forward(x);
    CHECK(bit_equal(y, branch->child()->linear->forward(x)));
    CHECK(bit_equal(list.at(0), x.to(torch::kDouble)));
    CHECK_FALSE(none.has_value());
    CHECK(bit_equal(pair.second->at(0), y.t()));
  }
  branch->set_open(false);
  for (const int64_t samples : {5, 2}) {
    const auto [y, list, none, pair] =
        branch->forward(torch::randn({samples, 3}));
    REQUIRE(list.size() == 3);
    REQUIRE(pair.second.has_value());
    REQUIRE(pair.second->size() == 1);
    CHECK_FALSE(none.has_value());
    CHECK(y.sizes() == c10::IntArrayRef({samples, 2}));
    CHECK(list[0].sizes() == c10::IntArrayRef({samples, 3}));
    CHECK(list[0].scalar_type() == torch::kDouble);
    CHECK(list[1].sizes() == c10::IntArrayRef({samples, 1, 2}));
    CHECK(list[2].sizes() == c10::IntArrayRef({samples}));
    CHECK(list[2].scalar_type() == torch::kLong);
    CHECK(pair.first.dim() == 0);
    CHECK(pair.second->at(0).sizes() == c10::IntArrayRef({2, samples}));
    for (const auto& tensor :
         {y, list[0], list[1], list[2], pair.first, pair.second->at(0)}) {
      CHECK(all_zero(tensor));
      CHECK_FALSE(tensor.requires_grad());
    }
  }
}

TEST_CASE(
    "GatedBranch: detached outputs keep their values",
    "[gated_branch][forward]") {
  GatedBranch branch(
      std::make_shared<BranchNestedImpl>(),
      branch_skip(Skip::kNoGrad).closed_value(ClosedValue::kDetached));
  branch->set_open(false);
  const auto x = torch::randn({5, 3});
  const auto [y, list, none, pair] = branch->forward(x);
  CHECK(bit_equal(y, branch->child()->linear->forward(x)));
  CHECK_FALSE(y.requires_grad());
  CHECK(bit_equal(list.at(2), y.argmax(1)));
  CHECK(bit_equal(pair.first, x.sum()));
}

TEST_CASE(
    "GatedBranch: what cannot work is refused when it is made",
    "[gated_branch][error]") {
  using torch::nn::Linear;
  CHECK_THAT(
      message_of<c10::ValueError>([] { GatedBranch branch(Linear(nullptr)); }),
      StartsWith("GatedBranch: expected a module, got an empty"));
  CHECK_THAT(
      message_of<c10::ValueError>(
          [] { GatedBranch branch{std::shared_ptr<torch::nn::LinearImpl>()}; }),
      StartsWith("GatedBranch: expected a module, got an empty"));
  CHECK(
      message_of<c10::ValueError>([] {
        GatedBranch branch(
            Linear(3, 4),
            GatedBranchOptions().closed_value(ClosedValue::kDetached));
      }) ==
      "GatedBranch: expected skip=kNoGrad with closed_value=kDetached, got "
      "skip=kZeroFill, under which a closed branch does not run");
  CHECK(
      message_of<c10::ValueError>([] {
        GatedBranch branch(
            Linear(3, 4), GatedBranchOptions().track_statistics(true));
      }) ==
      "GatedBranch: expected skip=kNoGrad with track_statistics=true, got "
      "skip=kZeroFill, under which a closed branch does not run");
  const auto shape =
      GENERATE(OutputShape{4}, OutputShape().dtype(torch::kHalf));
  CHECK(
      message_of<c10::ValueError>([&] {
        GatedBranch branch(
            torch::nn::LSTM(3, 4), GatedBranchOptions().output_shape(shape));
      }) ==
      "GatedBranch: expected no output_shape for a child that returns more "
      "than one tensor, got one; its shapes are found out");
}

TEST_CASE(
    "GatedBranch: an input on another device is an error",
    "[gated_branch][error]") {
  const auto skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  const bool open = GENERATE(true, false);
  CAPTURE(skip, open);
  GatedBranch branch(torch::nn::Linear(3, 4), branch_skip(skip));
  const auto x = torch::ones({2, 3}, torch::kMeta);
  branch->set_open(open);
  CHECK(
      message_of<c10::ValueError>([&] { branch->forward(x); }) ==
      "GatedBranch::forward: expected an input on cpu, where branch 0 "
      "('branch') has its parameters, got one on meta");
  // It goes on working.
  CHECK(
      branch->forward(torch::ones({2, 3})).sizes() == c10::IntArrayRef({2, 4}));
}

TEST_CASE(
    "GatedBranch: closed without a tensor among the arguments",
    "[gated_branch][error]") {
  GatedBranch branch{BranchTakesNothing()};
  CHECK(branch->forward(3).size(0) == 3);
  branch->set_open(false);
  CHECK(
      message_of<c10::ValueError>([&] { branch->forward(3); }) ==
      "GatedBranch::forward: expected a tensor among the arguments of a closed "
      "branch, got none; use Skip::kNoGrad");
  GatedBranch no_grad(BranchTakesNothing(), branch_skip(Skip::kNoGrad));
  no_grad->set_open(false);
  CHECK(all_zero(no_grad->forward(3)));
  CHECK(no_grad->forward(4).size(0) == 4);
}

TEST_CASE(
    "GatedBranch: draws by itself in training alone",
    "[gated_branch][random]") {
  const auto skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  CAPTURE(skip);
  constexpr int64_t kDraws = 2000;
  const auto x = torch::ones({1, 1});
  const auto draw = [&](GatedBranch<torch::nn::Linear>& branch, int64_t count) {
    std::vector<bool> open;
    for (int64_t i = 0; i < count; ++i) {
      const bool zero = all_zero(branch->forward(x));
      CHECK(zero != branch->is_open());
      open.push_back(branch->is_open());
    }
    return open;
  };
  torch::nn::Linear linear(1, 1);
  {
    const torch::NoGradGuard no_grad;
    linear->weight.fill_(1);
    linear->bias.fill_(1);
  }
  GatedBranch branch(linear, branch_skip(skip));
  branch->set_open(false);
  branch->draw_each_forward(7);
  torch::manual_seed(1);
  const auto open = draw(branch, kDraws);
  const auto after = torch::rand({4});
  torch::manual_seed(1);
  CHECK(bit_equal(after, torch::rand({4})));
  CHECK(branch->draw_state() == DrawState{7, kDraws});

  // Open with probability 1/2: the sd of the number is sqrt(n) / 2.
  const auto opened =
      static_cast<double>(std::count(open.begin(), open.end(), true));
  CHECK(
      std::abs(opened - kDraws / 2.0) <
      4 * std::sqrt(static_cast<double>(kDraws)) / 2);

  GatedBranch same(linear, branch_skip(skip));
  same->draw_each_forward(7);
  CHECK(draw(same, 100) == std::vector<bool>(open.begin(), open.begin() + 100));
  GatedBranch other(linear, branch_skip(skip));
  other->draw_each_forward(8);
  CHECK(
      draw(other, 100) != std::vector<bool>(open.begin(), open.begin() + 100));

  branch->eval();
  for (int i = 0; i < 20; ++i) {
    CHECK(all_zero(branch->forward(x)));
    CHECK_FALSE(branch->is_open());  // what was last applied
  }
  CHECK(branch->draw_state() == DrawState{7, kDraws});
}

TEST_CASE(
    "GatedBranch: clone shares nothing and keeps everything",
    "[gated_branch][clone]") {
  torch::nn::Sequential path(
      torch::nn::Linear(3, 4), torch::nn::BatchNorm1d(4));
  GatedBranch branch(path, branch_skip(Skip::kNoGrad));
  branch->draw_each_forward(7);
  branch->set_open(false);
  path[1]->eval();
  path[0]->as<torch::nn::LinearImpl>()->weight.set_requires_grad(false);
  const auto copy =
      std::dynamic_pointer_cast<GatedBranchImpl<torch::nn::Sequential>>(
          branch->clone());
  REQUIRE(copy);
  CHECK_FALSE(copy->is_open());
  CHECK(copy->options.skip() == Skip::kNoGrad);
  CHECK(copy->draw_state() == DrawState{7, 0});
  CHECK(copy->child().ptr() != path.ptr());
  CHECK(copy->child().ptr() == copy->children().at(0));
  CHECK(copy->is_training());
  CHECK(copy->child()[0]->is_training());
  CHECK_FALSE(copy->child()[1]->is_training());
  const auto ours = branch->named_parameters();
  const auto theirs = copy->named_parameters();
  CHECK(theirs.keys() == ours.keys());
  for (const auto& item : ours) {
    const auto& twin = theirs[item.key()];
    CHECK(bit_equal(item.value(), twin));
    CHECK(item.value().requires_grad() == twin.requires_grad());
    CHECK(item.value().data_ptr() != twin.data_ptr());
  }
  // Each goes its own way.
  copy->set_open(true);
  CHECK_FALSE(branch->is_open());
  const auto before = copies_of(branch->parameters());
  {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : copy->parameters()) {
      parameter.fill_(9);
    }
  }
  CHECK(all_bit_equal(branch->parameters(), before));
  const auto x = torch::randn({5, 3});
  branch->stop_drawing();
  copy->stop_drawing();
  CHECK(all_zero(branch->forward(x)));
  CHECK_FALSE(all_zero(copy->forward(x)));
}

TEST_CASE(
    "GatedBranch: a Cloneable parent clones it deeply",
    "[gated_branch][clone]") {
  BranchParentImpl parent;
  parent.branch->set_open(false);
  parent.branch->child()->weight.set_requires_grad(false);
  parent.branch->child()->eval();
  const auto copy = std::dynamic_pointer_cast<BranchParentImpl>(parent.clone());
  REQUIRE(copy);
  CHECK_FALSE(copy->branch->is_open());
  CHECK(copy->branch.ptr() == copy->children().at(0));
  CHECK(copy->branch->child().ptr() == copy->branch->children().at(0));
  CHECK(copy->branch->child().ptr() != parent.branch->child().ptr());
  CHECK_FALSE(copy->branch->child()->weight.requires_grad());
  CHECK_FALSE(copy->branch->child()->is_training());
  CHECK(all_bit_equal(copy->parameters(), parent.parameters()));
  CHECK(copy->parameters()[0].data_ptr() != parent.parameters()[0].data_ptr());
  copy->branch->set_open(true);
  CHECK_FALSE(parent.branch->is_open());
  const auto x = torch::randn({2, 3});
  CHECK(
      bit_equal(copy->branch->forward(x), parent.branch->child()->forward(x)));
}

TEST_CASE("GatedBranch: prints its state", "[gated_branch][print]") {
  GatedBranch branch(torch::nn::Linear(3, 4));
  CHECK(
      branch_text(*branch) ==
      "gatedpaths::GatedBranch(skip=kZeroFill, open=true)");
  branch->set_open(false);
  CHECK(
      branch_text(*branch) ==
      "gatedpaths::GatedBranch(skip=kZeroFill, open=false)");
  GatedBranch no_grad(torch::nn::Linear(3, 4), branch_skip(Skip::kNoGrad));
  std::ostringstream tree;
  tree << no_grad;
  CHECK(
      tree.str() ==
      "gatedpaths::GatedBranch(skip=kNoGrad, open=true)(\n"
      "  (branch): torch::nn::Linear(in_features=3, out_features=4, "
      "bias=true)\n"
      ")");
}

TEST_CASE(
    "GatedBranch: moves to another dtype, also while closed",
    "[gated_branch]") {
  const auto skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  CAPTURE(skip);
  GatedBranch branch(torch::nn::Linear(3, 4), branch_skip(skip));
  const auto x = torch::randn({2, 3});
  branch->forward(x);
  branch->set_open(false);
  branch->to(torch::kDouble);
  CHECK(branch->child()->weight.scalar_type() == torch::kDouble);
  CHECK(branch->forward(x.to(torch::kDouble)).scalar_type() == torch::kDouble);
  branch->set_open(true);
  CHECK(branch->forward(x.to(torch::kDouble)).scalar_type() == torch::kDouble);
  branch->to(torch::kCPU, torch::kFloat);
  branch->set_open(false);
  CHECK(branch->forward(x).scalar_type() == torch::kFloat);
  branch->to(torch::Device(torch::kCPU));
  CHECK(branch->forward(x).scalar_type() == torch::kFloat);
}

TEST_CASE("GatedBranch: saves and loads by name", "[gated_branch][serialize]") {
  const auto make = [] {
    return GatedBranch(torch::nn::Sequential(
        torch::nn::Linear(3, 4), torch::nn::BatchNorm1d(4)));
  };
  auto from = make();
  from->forward(torch::randn({5, 3}));  // moves the statistics
  from->set_open(false);                // closed ones are saved as well
  std::stringstream stream;
  torch::save(from, stream);
  auto to = make();
  CHECK_FALSE(all_bit_equal(from->parameters(), to->parameters()));
  torch::load(to, stream);
  CHECK(all_bit_equal(from->parameters(), to->parameters()));
  CHECK(all_bit_equal(from->buffers(), to->buffers()));
  CHECK(to->is_open());
  CHECK(
      to->named_parameters().keys() == std::vector<std::string>{
                                           "branch.0.weight",
                                           "branch.0.bias",
                                           "branch.1.weight",
                                           "branch.1.bias"});
}
