// SPDX-License-Identifier: MIT
#include <gatedpaths/paths/sandwich_sampler.hpp>
#include <gatedpaths/paths/uniform_sampler.hpp>

#include <cmath>
#include <limits>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/fake_gate.hpp"
#include "support/samplers.hpp"

using gatedpaths::GateValues;
using gatedpaths::PathSpace;
using gatedpaths::SandwichSampler;
using gatedpaths::test::fake_gate;
using gatedpaths::test::message_of;
using gatedpaths::test::numbered_gate;
using gatedpaths::test::shared_layout;

static_assert(gatedpaths::PathSampler<SandwichSampler>);

namespace {

using InsideGate = gatedpaths::test::FakeGate::Inside;

auto sandwich_layout() {
  return shared_layout(
      {numbered_gate("a", 4, 1, 2),
       numbered_gate("b", 3, 0, 3),
       numbered_gate("inner", 2, 1, 1, {{0, 2}})});
}

const GateValues kBranchSizes = {{"a", {3, 1, 8, 5}}, {"inner", {7, 9}}};

std::shared_ptr<torch::nn::Module> linear_of(int64_t in, int64_t out) {
  return torch::nn::Linear(in, out).ptr();
}

}  // namespace

TEST_CASE(
    "SandwichSampler: gives largest, smallest and random paths in turn",
    "[sandwich_sampler]") {
  const int64_t random_paths = GENERATE(0, 1, 2, 5);
  const SandwichSampler sampler(
      sandwich_layout(), 7, kBranchSizes, random_paths);
  // The seed whose stream is that of a sandwich's seed 7, see stream_seed.
  const gatedpaths::UniformSampler uniform(
      sandwich_layout(), 0xf229234ba51cb3c5U);
  REQUIRE(sampler.cycle() == 2 + static_cast<uint64_t>(random_paths));
  for (uint64_t step = 0; step < 40; ++step) {
    CAPTURE(step);
    const uint64_t place = step % sampler.cycle();
    const auto path = sampler.at(step);
    CHECK(
        path == (place == 0   ? sampler.largest()
                 : place == 1 ? sampler.smallest()
                              : uniform.at(step)));
  }
}

TEST_CASE(
    "SandwichSampler: largest and smallest go by the sizes",
    "[sandwich_sampler]") {
  const auto layout = sandwich_layout();
  const SandwichSampler sampler(layout, 7, kBranchSizes);
  CHECK(sampler.cycle() == 4);
  CHECK(layout->to_string(sampler.largest()) == "a=2+3;b=0+1+2;inner=1");
  CHECK(layout->to_string(sampler.smallest()) == "a=1;b=");

  // Of equal ones, those of lower index.
  const SandwichSampler equal(layout, 7, {{"a", 4}, {"b", 1}});
  CHECK(layout->to_string(equal.largest()) == "a=0+1;b=0+1+2");
  CHECK(layout->to_string(equal.smallest()) == "a=0;b=");
  const SandwichSampler ties(layout, 7, {{"a", {2, 5, 2, 5}}});
  CHECK(layout->to_string(ties.largest()) == "a=1+3;b=0+1+2");
  CHECK(layout->to_string(ties.smallest()) == "a=0;b=");
}

TEST_CASE(
    "SandwichSampler: the size of a branch is its number of parameters",
    "[sandwich_sampler]") {
  auto shared = gatedpaths::test::holder();
  const auto layer = shared->add("once", linear_of(4, 4));
  shared->add("twice", layer);  // counts once: 20 parameters
  const auto inner = fake_gate(
      {"wide", "narrow"},
      1,
      1,
      InsideGate{
          {"wide", linear_of(4, 3)},
          {"narrow", linear_of(1, 1)}});  // 17 parameters
  auto net = fake_gate(
      {"inner", "shared", "layer", "empty"},
      1,
      2,
      InsideGate{
          {"inner", inner}, {"shared", shared}, {"layer", linear_of(5, 3)}});
  PathSpace space(net);
  SandwichSampler sampler(space, 7);
  // inner 17, shared 20, layer 18, empty 0
  CHECK(space.to_string(sampler.largest()) == ".=shared+layer");
  CHECK(space.to_string(sampler.smallest()) == ".=empty");
  space.apply(sampler.next());
  CHECK(space.current() == sampler.largest());

  const SandwichSampler given(
      space.layout(), 7, {{".", {9, 1, 1, 5}}, {"inner", {1, 2}}});
  CHECK(space.to_string(given.largest()) == ".=inner+empty;inner=narrow");
}

TEST_CASE(
    "SandwichSampler: works for a network on the stack", "[sandwich_sampler]") {
  gatedpaths::test::FakeGate net({"a", "b"}, 1, 1, {{"b", linear_of(2, 2)}});
  PathSpace space(net);
  const SandwichSampler sampler(space, 7, /*random_paths=*/0);
  CHECK(space.to_string(sampler.at(0)) == ".=b");
  CHECK(space.to_string(sampler.at(1)) == ".=a");
}

TEST_CASE(
    "SandwichSampler: a path is a function of seed and step",
    "[sandwich_sampler][random]") {
  gatedpaths::test::check_function_of_step(
      SandwichSampler(sandwich_layout(), 7, kBranchSizes));
}

TEST_CASE(
    "SandwichSampler: errors name gate, branch and value",
    "[sandwich_sampler][error]") {
  const auto layout = sandwich_layout();
  const auto message = [&](const GateValues& sizes, int64_t random_paths) {
    return message_of<c10::ValueError>(
        [&] { SandwichSampler(layout, 7, sizes, random_paths); });
  };
  CHECK(
      message({}, -1) == "SandwichSampler: expected random_paths >= 0, got -1");
  CHECK(
      message({{"a", {1, 2, -3, 4}}}, 2) ==
      "SandwichSampler: expected finite sizes >= 0 for gate 'a', got -3 for "
      "branch '2'");
  CHECK(
      message({{"b", {1, std::nan(""), 4}}}, 2) ==
      "SandwichSampler: expected finite sizes >= 0 for gate 'b', got nan for "
      "branch '1'");
  CHECK(
      message({{"b", std::numeric_limits<double>::infinity()}}, 2) ==
      "SandwichSampler: expected finite sizes >= 0 for gate 'b', got inf for "
      "branch '0'");
  CHECK(
      message({{"b", {1, 2}}}, 2) ==
      "SandwichSampler: expected 3 sizes for gate 'b', got 2");
  CHECK(
      message_of<c10::IndexError>(
          [&] { SandwichSampler(layout, 7, {{"d", 1}}); }) ==
      "SandwichSampler: expected one of the gates ('a', 'b', 'inner'), got "
      "'d'");
  CHECK(
      message_of<c10::ValueError>([] {
        SandwichSampler(
            std::shared_ptr<const gatedpaths::SpaceLayout>(), 1, GateValues());
      }) == "Sampler: expected a space, got a null pointer");
  CHECK(message_of<c10::ValueError>([] {
          auto net = fake_gate({"a", "b"});
          SandwichSampler(PathSpace(net), 7, -2);
        }) == "SandwichSampler: expected random_paths >= 0, got -2");
}
