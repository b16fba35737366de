// SPDX-License-Identifier: MIT
#include "net.hpp"

#include "support/catch.hpp"

namespace cifar10 {

TEST_CASE("net: it is the net that is described", "[cifar10]") {
  Net net;
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

TEST_CASE("net: paths and width make it larger", "[cifar10]") {
  Net net(NetOptions{.paths = 3, .width = 2});
  const auto parameters = net->named_parameters();
  CHECK(parameters["paths.c.0.weight"].size(0) == 12);
  CHECK(parameters["fc1.weight"].size(1) == 3 * 32 * 25);
  CHECK(gatedpaths::PathSpace(*net).size() == 3);
  CHECK(net->forward(torch::rand({2, 3, 32, 32})).size(1) == 10);
}

TEST_CASE("net: a step leaves no gradient in a closed path", "[cifar10]") {
  const auto skip =
      GENERATE(gatedpaths::Skip::kZeroFill, gatedpaths::Skip::kNoGrad);
  Net net(NetOptions{.skip = skip});
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
