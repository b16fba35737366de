// SPDX-License-Identifier: MIT
#include <gatedpaths/paths/weighted_sampler.hpp>

#include <cmath>
#include <limits>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/fake_gate.hpp"
#include "support/samplers.hpp"

using gatedpaths::GateValues;
using gatedpaths::PathSpace;
using gatedpaths::WeightedSampler;
using gatedpaths::test::message_of;
using gatedpaths::test::numbered_gate;
using gatedpaths::test::shared_layout;

static_assert(gatedpaths::PathSampler<WeightedSampler>);

TEST_CASE(
    "WeightedSampler: an open set is as likely as its weights' product",
    "[weighted_sampler][random]") {
  SECTION("one of N") {
    const WeightedSampler sampler(
        shared_layout({numbered_gate("g", 4, 1, 1)}), 7, {{"g", {1, 2, 0, 5}}});
    CHECK(
        gatedpaths::test::deviations_from_odds(sampler, {{1, 2, 0, 5}}, 4000) <
        4);
  }
  SECTION("several of N, and gates without weights") {
    const WeightedSampler sampler(
        shared_layout(
            {numbered_gate("a", 4, 2, 2),
             numbered_gate("b", 3, 0, 2),
             numbered_gate("c", 2, 1, 1)}),
        7,
        {{"a", {1, 3, 2, 0.5}}, {"b", {0.25, 4, 1}}});
    CHECK(
        gatedpaths::test::deviations_from_odds(
            sampler, {{1, 3, 2, 0.5}, {0.25, 4, 1}, {1, 1}}, 20000) < 4);
  }
  SECTION("inside of another gate") {
    const WeightedSampler sampler(
        shared_layout(
            {numbered_gate("outer", 2, 1, 1),
             numbered_gate("inner", 3, 1, 1, {{0, 0}})}),
        7,
        {{"outer", {3, 1}}, {"inner", {1, 1, 4}}});
    CHECK(
        gatedpaths::test::deviations_from_odds(
            sampler, {{3, 1}, {1, 1, 4}}, 6000) < 4);
  }
}

TEST_CASE(
    "WeightedSampler: weights of any size keep their proportions",
    "[weighted_sampler][random]") {
  // Their sum is beyond double; the product of the first two vanishes.
  const double huge = std::numeric_limits<double>::max();
  const WeightedSampler sampler(
      shared_layout({numbered_gate("a", 3, 1, 1), numbered_gate("b", 3, 2, 2)}),
      7,
      {{"a", {huge, huge, huge / 2}}, {"b", {1e-300, 1e-300, 2e-300}}});
  CHECK(
      gatedpaths::test::deviations_from_odds(
          sampler, {{2, 2, 1}, {1, 1, 2}}, 6000) < 4);
}

TEST_CASE(
    "WeightedSampler: a path is a function of seed and step",
    "[weighted_sampler][random]") {
  // The seed of the stream whose key is 7, see stream_seed.
  const WeightedSampler sampler(
      shared_layout({numbered_gate("a", 4, 1, 1), numbered_gate("b", 3, 2, 2)}),
      0x4d732e1b7f5ecf25U,
      {{"a", {1, 2, 0, 5}}, {"b", {1, 3, 2}}});
  gatedpaths::test::check_function_of_step(sampler);
  // Computed apart from this code, in fractions.
  CHECK(
      gatedpaths::test::first_paths(sampler, 6) == std::vector<std::string>{
                                                       "a=3;b=0+2",
                                                       "a=3;b=0+1",
                                                       "a=3;b=1+2",
                                                       "a=3;b=1+2",
                                                       "a=3;b=0+2",
                                                       "a=1;b=1+2"});
}

TEST_CASE(
    "WeightedSampler: draws for a network, and without it",
    "[weighted_sampler]") {
  auto net = gatedpaths::test::fake_gate({"a", "b", "c"}, 1, 2);
  PathSpace space(net);
  const GateValues weights{{".", {0, 1, 3}}};
  WeightedSampler sampler(space, 7, weights);
  for (uint64_t step = 0; step < 20; ++step) {
    space.apply(sampler.next());
    CHECK_FALSE(net->is_open(0));
    CHECK(
        space.current() ==
        WeightedSampler(space.layout(), 7, weights).at(step));
  }
}

TEST_CASE(
    "WeightedSampler: errors name gate, branch and value",
    "[weighted_sampler][error]") {
  const auto layout =
      shared_layout({numbered_gate("a", 3, 2, 3), numbered_gate("b", 2, 0, 2)});
  const auto message = [&](const GateValues& weights) {
    return message_of<c10::ValueError>(
        [&] { WeightedSampler(layout, 7, weights); });
  };
  CHECK(
      message({{"a", {1, 1, -2}}}) ==
      "WeightedSampler: expected finite weights >= 0 for gate 'a', got -2 for "
      "branch '2'");
  CHECK(
      message({{"a", {1, std::nan(""), 1}}}) ==
      "WeightedSampler: expected finite weights >= 0 for gate 'a', got nan for "
      "branch '1'");
  CHECK(
      message({{"a", {std::numeric_limits<double>::infinity(), 1, 1}}}) ==
      "WeightedSampler: expected finite weights >= 0 for gate 'a', got inf for "
      "branch '0'");
  CHECK(
      message({{"a", {0, 0, 3}}}) ==
      "WeightedSampler: expected >= 2 weights above 0 for gate 'a', got "
      "0, 0, 3");
  CHECK(
      message({{"b", 0.0}}) ==
      "WeightedSampler: expected >= 1 weights above 0 for gate 'b', got "
      "0, 0");
  CHECK(
      message({{"a", {1, 2}}}) ==
      "WeightedSampler: expected 3 weights for gate 'a', got 2");
  CHECK(
      message_of<c10::IndexError>(
          [&] { WeightedSampler(layout, 7, {{"blocks", {1, 2}}}); }) ==
      "WeightedSampler: expected one of the gates ('a', 'b'), got 'blocks'");
  CHECK(
      message_of<c10::ValueError>([] {
        WeightedSampler(
            std::shared_ptr<const gatedpaths::SpaceLayout>(), 1, GateValues());
      }) == "Sampler: expected a space, got a null pointer");
}
