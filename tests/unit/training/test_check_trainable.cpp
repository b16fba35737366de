// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/training/check_trainable.hpp>

#include <torch/nn/modules/linear.h>

#include "support/catch.hpp"

#include <string>

namespace gp = gatedpaths;
using Catch::Matchers::ContainsSubstring;

TEST_CASE(
    "check_trainable: a loss without a graph is refused with its path",
    "[check_trainable][error]") {
  gp::ConcatGate gate(
      gp::ConcatGateOptions(1),
      {{"a", torch::nn::Linear(3, 2), {2}},
       {"b", torch::nn::Linear(3, 2), {2}}});
  gp::PathSpace space(gate);
  const auto x = torch::randn({4, 3});

  SECTION("an open branch can be trained") {
    gate->set_open({1});
    const auto loss = gate->forward(x).sum();
    REQUIRE_NOTHROW(gp::check_trainable(loss, space));
    REQUIRE_NOTHROW(loss.backward());
  }
  SECTION("with all closed, only what stands behind can be trained") {
    gate->set_open({});
    const auto features = gate->forward(x);
    torch::nn::Linear head(4, 1);
    REQUIRE_NOTHROW(gp::check_trainable(head->forward(features).sum(), space));
    try {
      gp::check_trainable(features.sum(), space);
      FAIL("expected an error");
    } catch (const c10::ValueError& error) {
      REQUIRE_THAT(
          std::string(error.what_without_backtrace()),
          ContainsSubstring(
              "check_trainable: expected a loss that depends on a parameter "
              "that requires grad, got one without a graph on the path '.='"));
    }
  }
  SECTION("an undefined loss is refused") {
    REQUIRE_THROWS_AS(gp::check_trainable({}, space), c10::ValueError);
  }
}
