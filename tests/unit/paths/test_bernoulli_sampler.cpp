// SPDX-License-Identifier: MIT
#include <gatedpaths/paths/bernoulli_sampler.hpp>

#include <cmath>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/fake_gate.hpp"
#include "support/samplers.hpp"

using gatedpaths::BernoulliSampler;
using gatedpaths::GateValues;
using gatedpaths::PathSpace;
using gatedpaths::test::message_of;
using gatedpaths::test::numbered_gate;
using gatedpaths::test::shared_layout;

static_assert(gatedpaths::PathSampler<BernoulliSampler>);

namespace {

auto bernoulli_layout() {
  return shared_layout(
      {numbered_gate("a", 3, 0, 3),
       numbered_gate("b", 3, 1, 2),
       numbered_gate("c", 3, 1, 3)});
}

const GateValues kBernoulliRates = {
    {"a", {0.25, 0.5, 0.75}},
    {"b", {0.25, 0.5, 0.75}},
    {"c", {0.25, 0.5, 0.75}}};

}  // namespace

TEST_CASE(
    "BernoulliSampler: the law is that of free draws given the bounds",
    "[bernoulli_sampler][random]") {
  SECTION("a probability for each branch, and a gate without any") {
    const BernoulliSampler sampler(
        shared_layout(
            {numbered_gate("a", 3, 0, 3),
             numbered_gate("b", 3, 1, 2),
             numbered_gate("c", 2, 0, 1)}),
        7,
        {{"a", {0.1, 0.5, 0.75}}, {"b", {0.2, 0.6, 0.9}}});
    CHECK(
        gatedpaths::test::deviations_from_odds(
            sampler, {{1.0 / 9, 1, 3}, {0.25, 1.5, 9}, {1, 1}}, 20000) < 4);
  }
  SECTION("one for all branches of all gates") {
    const BernoulliSampler sampler(
        shared_layout(
            {numbered_gate("a", 3, 1, 3), numbered_gate("b", 2, 0, 1)}),
        7,
        0.8);
    CHECK(
        gatedpaths::test::deviations_from_odds(
            sampler, {{4, 4, 4}, {4, 4}}, 8000) < 4);
  }
  SECTION("one for all branches of a gate, inside of another") {
    const BernoulliSampler sampler(
        shared_layout(
            {numbered_gate("outer", 2, 1, 2),
             numbered_gate("inner", 3, 1, 2, {{0, 1}})}),
        7,
        {{"inner", 0.75}, {"outer", {0.25, 0.5}}});
    CHECK(
        gatedpaths::test::deviations_from_odds(
            sampler, {{1.0 / 3, 1}, {3, 3, 3}}, 8000) < 4);
  }
}

TEST_CASE(
    "BernoulliSampler: bounds shift the probabilities as documented",
    "[bernoulli_sampler][random]") {
  const BernoulliSampler sampler(
      shared_layout({numbered_gate("g", 3, 1, 3)}), 7, 0.1);
  constexpr uint64_t kDraws = 4000;
  int64_t first_open = 0;
  for (uint64_t step = 0; step < kDraws; ++step) {
    first_open += sampler.at(step).open_branches(0).front() == 0 ? 1 : 0;
  }
  const double p = 0.1 / (1 - std::pow(0.9, 3));
  const double sd = std::sqrt(p * (1 - p) / kDraws);
  CHECK(std::abs(static_cast<double>(first_open) / kDraws - p) < 4 * sd);
}

TEST_CASE(
    "BernoulliSampler: 0 closes a branch for good, and 1 opens it",
    "[bernoulli_sampler]") {
  const BernoulliSampler sampler(
      shared_layout({numbered_gate("a", 4, 1, 2), numbered_gate("b", 1, 0, 1)}),
      7,
      {{"a", {0, 1, 0.5, 0}}, {"b", 1.0}});
  for (uint64_t step = 0; step < 100; ++step) {
    const auto path = sampler.at(step);
    CHECK(path.open_branches(0).front() == 1);
    CHECK(path.open_branches(0).back() <= 2);
    CHECK(path.open_branches(1).size() == 1);
  }
}

TEST_CASE(
    "BernoulliSampler: a path is a function of seed and step",
    "[bernoulli_sampler][random]") {
  gatedpaths::test::check_function_of_step(
      BernoulliSampler(bernoulli_layout(), 7, kBernoulliRates));
}

TEST_CASE(
    "BernoulliSampler: draws the same in every version",
    "[bernoulli_sampler][random]") {
  // The seed of the stream whose key is 7, see stream_seed.
  const BernoulliSampler sampler(
      bernoulli_layout(), 0x27e02d6c4b51454eU, kBernoulliRates);
  // Computed apart from this code, in fractions.
  CHECK(
      gatedpaths::test::first_paths(sampler, 6) == std::vector<std::string>{
                                                       "a=1+2;b=0+2;c=2",
                                                       "a=1;b=0+1;c=1",
                                                       "a=1;b=1+2;c=2",
                                                       "a=1+2;b=1+2;c=1",
                                                       "a=1+2;b=2;c=2",
                                                       "a=0+1+2;b=1;c=0+2"});
}

TEST_CASE(
    "BernoulliSampler: draws for a network, and without it",
    "[bernoulli_sampler]") {
  auto net = gatedpaths::test::fake_gate({"a", "b", "c"}, 0, 3);
  PathSpace space(net);
  BernoulliSampler one(space, 7, 0.5);
  BernoulliSampler by_gate(space, 7, {{".", {0, 1, 0.5}}});
  for (uint64_t step = 0; step < 20; ++step) {
    space.apply(one.next());
    CHECK(space.current() == BernoulliSampler(space.layout(), 7, 0.5).at(step));
    space.apply(by_gate.next());
    CHECK((!net->is_open(0) && net->is_open(1)));
  }
}

TEST_CASE(
    "BernoulliSampler: errors name gate, branch and value",
    "[bernoulli_sampler][error]") {
  const auto layout =
      shared_layout({numbered_gate("a", 3, 1, 2), numbered_gate("b", 2, 0, 2)});
  const auto message = [&](const auto& probabilities) {
    return message_of<c10::ValueError>(
        [&] { BernoulliSampler(layout, 7, probabilities); });
  };
  CHECK(
      message(1.5) ==
      "BernoulliSampler: expected a probability in [0, 1], got 1.5");
  CHECK(
      message(std::nan("")) ==
      "BernoulliSampler: expected a probability in [0, 1], got nan");
  CHECK(
      message(0.0) ==
      "BernoulliSampler: expected probabilities that allow 1 to 2 open "
      "branches of 3 in gate 'a', got 3 that are 0 and 0 that are 1");
  CHECK(
      message(1.0) ==
      "BernoulliSampler: expected probabilities that allow 1 to 2 open "
      "branches of 3 in gate 'a', got 0 that are 0 and 3 that are 1");
  CHECK(
      message(GateValues{{"a", {0.5, -0.1, 0.5}}}) ==
      "BernoulliSampler: expected probabilities in [0, 1] for gate 'a', got "
      "-0.1 for branch '1'");
  CHECK(
      message(GateValues{{"b", {0.5, 1.01}}}) ==
      "BernoulliSampler: expected probabilities in [0, 1] for gate 'b', got "
      "1.01 for branch '1'");
  CHECK(
      message(GateValues{{"b", std::nan("")}}) ==
      "BernoulliSampler: expected probabilities in [0, 1] for gate 'b', got "
      "nan for branch '0'");
  CHECK(
      message(GateValues{{"b", {0.5}}}) ==
      "BernoulliSampler: expected 2 probabilities for gate 'b', got 1");
  CHECK(
      message_of<c10::IndexError>([&] {
        BernoulliSampler(layout, 7, {{"a", 0.5}, {"c", 0.5}});
      }) == "BernoulliSampler: expected one of the gates ('a', 'b'), got 'c'");
  CHECK(message_of<c10::ValueError>([] {
          BernoulliSampler(
              std::shared_ptr<const gatedpaths::SpaceLayout>(), 1, 0.5);
        }) == "Sampler: expected a space, got a null pointer");
}
