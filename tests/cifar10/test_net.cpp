// SPDX-License-Identifier: MIT
#include "net.hpp"

#include "support/catch.hpp"
#include "support/tensors.hpp"

#include <string>

namespace cifar10 {

namespace gp = gatedpaths;
namespace {

using gp::test::bit_equal;
using gp::test::largest_difference;

Net seeded_net(Form form) {
  torch::manual_seed(3);
  return Net(NetOptions{.paths = 3, .form = form});
}

}  // namespace

TEST_CASE("net: it is the net that is described", "[cifar10]") {
  Net net(NetOptions{.form = Form::kDense});
  CHECK(
      net->forward(torch::rand({4, 3, 32, 32})).sizes() ==
      c10::IntArrayRef({4, 10}));
  const auto parameters = net->named_parameters();
  CHECK(
      parameters["paths.a.0.weight"].sizes() == c10::IntArrayRef({6, 3, 5, 5}));
  CHECK(
      parameters["paths.b.3.weight"].sizes() ==
      c10::IntArrayRef({16, 6, 5, 5}));
  CHECK(parameters["fc1.weight"].sizes() == c10::IntArrayRef({120, 800}));
  CHECK(parameters["fc2.weight"].sizes() == c10::IntArrayRef({84, 120}));
  CHECK(parameters["fc3.weight"].sizes() == c10::IntArrayRef({10, 84}));
  CHECK(parameters.size() == 14);
}

TEST_CASE("net: the slot form has a weight for each path", "[cifar10]") {
  Net net;
  CHECK(
      net->forward(torch::rand({4, 3, 32, 32})).sizes() ==
      c10::IntArrayRef({4, 10}));
  const auto parameters = net->named_parameters();
  CHECK(parameters["fc1.weight_0"].sizes() == c10::IntArrayRef({120, 400}));
  CHECK(parameters["fc1.weight_1"].sizes() == c10::IntArrayRef({120, 400}));
  CHECK(parameters.size() == 15);
}

TEST_CASE(
    "net: both forms have the dense names and the same first weights",
    "[cifar10][random]") {
  const auto slots = gp::slots_to_dense(*seeded_net(Form::kSlots));
  const auto dense = seeded_net(Form::kDense)->named_parameters();
  CHECK(slots.size() == dense.size());
  for (const auto& item : dense) {
    CAPTURE(item.key());
    REQUIRE(slots.contains(item.key()));
    CHECK(bit_equal(slots[item.key()], item.value().detach()));
  }
}

TEST_CASE("net: both forms give the same logits and gradients", "[cifar10]") {
  const auto skip = GENERATE(gp::Skip::kZeroFill, gp::Skip::kNoGrad);
  torch::manual_seed(3);
  Net slots(NetOptions{.paths = 3, .skip = skip});
  Net dense(NetOptions{.paths = 3, .skip = skip, .form = Form::kDense});
  gp::slots_from_dense(*slots, dense->named_parameters());
  gp::PathSpace slots_space(*slots);
  gp::PathSpace dense_space(*dense);
  const auto images = torch::rand({4, 3, 32, 32});
  const auto weights = torch::randn({4, 10});
  for (std::int64_t open = 0; open < 3; ++open) {
    const auto index = static_cast<std::uint64_t>(open);
    CAPTURE(open);
    slots_space.apply(slots_space.at(index));
    dense_space.apply(dense_space.at(index));
    slots->zero_grad();
    dense->zero_grad();
    const auto slots_logits = slots->forward(images);
    const auto dense_logits = dense->forward(images);
    CHECK(largest_difference(slots_logits, dense_logits) < 1e-6);
    (slots_logits * weights).mean().backward();
    (dense_logits * weights).mean().backward();

    auto expected = dense->named_parameters();
    for (const auto& item : slots->named_parameters()) {
      CAPTURE(item.key());
      const auto gradient = item.value().grad();
      const auto prefix = std::string("fc1.weight_");
      if (item.key().rfind(prefix, 0) != 0) {
        const auto other = expected[item.key()].grad();
        CHECK(gradient.defined() == other.defined());
        CHECK((
            !gradient.defined() || largest_difference(gradient, other) < 1e-6));
        continue;
      }
      const auto slot = std::stoll(item.key().substr(prefix.size()));
      const auto other =
          expected["fc1.weight"].grad().narrow(1, 400 * slot, 400);
      CHECK(gradient.defined() == (slot == open));
      CHECK(
          largest_difference(
              gradient.defined() ? gradient : torch::zeros({120, 400}), other) <
          1e-5);
    }
  }
}

TEST_CASE("net: paths and width make it larger", "[cifar10]") {
  Net net(NetOptions{.paths = 3, .width = 2});
  const auto parameters = net->named_parameters();
  CHECK(parameters["paths.c.0.weight"].size(0) == 12);
  CHECK(parameters["fc1.weight_2"].size(1) == 32 * 25);
  CHECK(gatedpaths::PathSpace(*net).size() == 3);
  CHECK(net->forward(torch::rand({2, 3, 32, 32})).size(1) == 10);
}

TEST_CASE("net: a step leaves no gradient in a closed path", "[cifar10]") {
  const auto skip =
      GENERATE(gatedpaths::Skip::kZeroFill, gatedpaths::Skip::kNoGrad);
  const auto form = GENERATE(Form::kSlots, Form::kDense);
  Net net(NetOptions{.skip = skip, .form = form});
  gatedpaths::PathSpace space(*net);
  space.apply(space.at(1));
  net->forward(torch::rand({2, 3, 32, 32})).sum().backward();
  const auto parameters = net->named_parameters();
  CHECK_FALSE(parameters["paths.a.0.weight"].grad().defined());
  CHECK(parameters["paths.b.0.weight"].grad().defined());
}

TEST_CASE("net: paths are named like columns of a table", "[cifar10]") {
  CHECK(path_name(0) == "a");
  CHECK(path_name(25) == "z");
  CHECK(path_name(26) == "aa");
  CHECK(path_name(26 + 26 * 26) == "aaa");
}

}  // namespace cifar10
