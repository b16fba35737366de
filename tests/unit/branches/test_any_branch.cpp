// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/any_branch.hpp>

#include <memory>
#include <string>
#include <utility>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tensors.hpp"

using gatedpaths::AnyBranch;
using gatedpaths::test::bit_equal;
using gatedpaths::test::message_of;

namespace {

struct TemplatedImpl : torch::nn::Module {
  template <class... T>
  auto forward(const T&... inputs) {
    return (inputs + ...) * 2;
  }
};
TORCH_MODULE(Templated);

struct OverloadedImpl : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& input) { return input * 3; }
  double forward(double input) { return input; }
};
TORCH_MODULE(Overloaded);

struct DefaultedImpl : torch::nn::Module {
  // By value, const, and with a parameter that a branch never gives.
  torch::Tensor forward(torch::Tensor input, double factor = 4) const {
    return input * factor;
  }
};
TORCH_MODULE(Defaulted);

struct PairImpl : torch::nn::Module {
  std::pair<torch::Tensor, torch::Tensor> forward(const torch::Tensor& input) {
    return {input, input};
  }
};

struct TailImpl : torch::nn::Cloneable<TailImpl> {
  TailImpl() { reset(); }
  void reset() override {
    drop = register_module("drop", torch::nn::Dropout());
    linear = register_module("linear", torch::nn::Linear(4, 2));
  }
  torch::Tensor forward(const torch::Tensor& input) {
    return linear->forward(drop->forward(input));
  }

  torch::nn::Dropout drop = nullptr;
  torch::nn::Linear linear = nullptr;
};
TORCH_MODULE(Tail);

torch::Tensor any_branch_input() {
  torch::manual_seed(1);
  return torch::randn({2, 3});
}

}  // namespace

static_assert(gatedpaths::detail::UnaryTensorModule<torch::nn::SequentialImpl>);
static_assert(gatedpaths::detail::UnaryTensorModule<TemplatedImpl>);
static_assert(!gatedpaths::detail::UnaryTensorModule<PairImpl>);
static_assert(!std::is_constructible_v<AnyBranch, int>);

TEST_CASE(
    "AnyBranch: takes holders, pointers and modules by value",
    "[any_branch][forward]") {
  const auto x = any_branch_input();

  const torch::nn::Linear holder(3, 4);
  const AnyBranch from_holder = holder;
  CHECK(from_holder.ptr() == holder.ptr());
  CHECK(bit_equal(
      from_holder.forward(x), torch::linear(x, holder->weight, holder->bias)));

  const auto pointer = std::make_shared<torch::nn::LinearImpl>(3, 4);
  const AnyBranch from_pointer = pointer;
  CHECK(from_pointer.ptr() == pointer);
  CHECK(bit_equal(from_pointer.forward(x), pointer->forward(x)));

  torch::nn::LinearImpl value(3, 4);
  const AnyBranch from_value = value;
  CHECK(from_value.ptr().get() != &value);
  CHECK(bit_equal(from_value.forward(x), value.forward(x)));
  const AnyBranch from_temporary = torch::nn::LinearImpl(3, 4);
  CHECK(from_temporary.forward(x).sizes() == torch::IntArrayRef({2, 4}));
}

TEST_CASE(
    "AnyBranch: calls forwards of every kind with one tensor",
    "[any_branch][forward]") {
  const auto x = any_branch_input();
  CHECK(bit_equal(AnyBranch(Templated()).forward(x), x * 2));
  CHECK(bit_equal(AnyBranch(Overloaded()).forward(x), x * 3));
  CHECK(bit_equal(AnyBranch(Defaulted()).forward(x), x * 4));
  CHECK(bit_equal(AnyBranch(torch::nn::Identity()).forward(x), x));
  const torch::nn::Linear linear(3, 4);
  const AnyBranch sequential = torch::nn::Sequential(linear, torch::nn::ReLU());
  CHECK(bit_equal(
      sequential.forward(x),
      torch::linear(x, linear->weight, linear->bias).relu()));
}

TEST_CASE("AnyBranch: copies share the module", "[any_branch]") {
  const AnyBranch branch = torch::nn::Linear(3, 4);
  AnyBranch copy = branch;
  CHECK(copy.ptr() == branch.ptr());
  AnyBranch moved = std::move(copy);
  CHECK(moved.ptr() == branch.ptr());
  copy = branch;
  CHECK(copy.ptr() == branch.ptr());
}

TEST_CASE("AnyBranch: gives the module back typed", "[any_branch]") {
  const torch::nn::Linear linear(3, 4);
  const AnyBranch branch = linear;
  CHECK(&branch.get<torch::nn::LinearImpl>() == linear.get());
  CHECK(branch.ptr<torch::nn::LinearImpl>() == linear.ptr());
  CHECK(branch.ptr<torch::nn::Module>() == linear.ptr());
  CHECK(static_cast<bool>(branch));
  CHECK_FALSE(static_cast<bool>(AnyBranch()));
  CHECK(AnyBranch().ptr() == nullptr);
  CHECK_FALSE(static_cast<bool>(AnyBranch(torch::nn::Linear(nullptr))));
}

TEST_CASE(
    "AnyBranch: names both types where they differ", "[any_branch][error]") {
  const AnyBranch branch = torch::nn::Linear(3, 4);
  CHECK(
      message_of<c10::TypeError>(
          [&] { branch.get<torch::nn::Conv2dImpl>(); }) ==
      "AnyBranch::get: expected a torch::nn::Conv2dImpl, got a "
      "torch::nn::LinearImpl");
  CHECK(
      message_of<c10::TypeError>(
          [] { AnyBranch().get<torch::nn::Conv2dImpl>(); }) ==
      "AnyBranch::get: expected a torch::nn::Conv2dImpl, got an empty branch");
  CHECK(
      message_of<c10::TypeError>(
          [&] { branch.rebind(std::make_shared<torch::nn::ReLUImpl>()); }) ==
      "AnyBranch::rebind: expected a torch::nn::LinearImpl, got a "
      "torch::nn::ReLUImpl");
  CHECK(message_of<c10::TypeError>([&] {
          branch.rebind(nullptr);
        }) == "AnyBranch::rebind: expected a torch::nn::LinearImpl, got none");
  CHECK(message_of<c10::Error>([] {
          AnyBranch().clone();
        }) == "AnyBranch::clone: expected a module, got none");
  CHECK(message_of<c10::Error>([] {
          AnyBranch().rebind(nullptr);
        }) == "AnyBranch::rebind: expected a module, got none");
}

TEST_CASE("AnyBranch: rebind calls the other module", "[any_branch]") {
  const auto x = any_branch_input();
  const AnyBranch branch = torch::nn::Linear(3, 4);
  const torch::nn::Linear other(3, 5);
  const AnyBranch rebound = branch.rebind(other.ptr());
  CHECK(rebound.ptr() == other.ptr());
  CHECK(rebound.forward(x).size(1) == 5);
  CHECK(branch.forward(x).size(1) == 4);
}

TEST_CASE(
    "AnyBranch: a clone is deep and keeps modes and requires_grad",
    "[any_branch][clone]") {
  const auto x = any_branch_input();
  torch::nn::Sequential net(
      torch::nn::Linear(3, 4), torch::nn::BatchNorm1d(4), Tail());
  net[1]->eval();  // a frozen norm in a net that trains
  net[1]->parameters()[0].set_requires_grad(false);
  net[2]->children()[0]->eval();

  const AnyBranch branch = net;
  const AnyBranch clone = branch.clone();
  const auto& copy = clone.get<torch::nn::SequentialImpl>();
  CHECK(clone.ptr() != branch.ptr());
  CHECK(copy.is_training());
  CHECK_FALSE(copy[1]->is_training());
  CHECK(copy[2]->is_training());
  CHECK_FALSE(copy[2]->children()[0]->is_training());
  CHECK(copy[2]->children()[1]->is_training());

  const auto originals = net->named_parameters();
  const auto copies = copy.named_parameters();
  REQUIRE(copies.size() == originals.size());
  for (const auto& original : originals) {
    CAPTURE(original.key());
    const auto& twin = copies[original.key()];
    CHECK(bit_equal(twin, original.value()));
    CHECK(twin.data_ptr() != original->data_ptr());
    CHECK(twin.requires_grad() == original->requires_grad());
  }
  CHECK(bit_equal(clone.forward(x), branch.forward(x)));

  // A Sequential forgets eval mode when it is cloned.
  net->eval();
  CHECK_FALSE(branch.clone().ptr()->is_training());
}
