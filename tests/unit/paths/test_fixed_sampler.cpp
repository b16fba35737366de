// SPDX-License-Identifier: MIT
#include <gatedpaths/paths/fixed_sampler.hpp>

#include <cstdio>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/fake_gate.hpp"
#include "support/samplers.hpp"

using gatedpaths::FixedSampler;
using gatedpaths::Path;
using gatedpaths::PathSpace;
using gatedpaths::test::message_of;
using gatedpaths::test::numbered_gate;
using gatedpaths::test::shared_layout;

static_assert(gatedpaths::PathSampler<FixedSampler>);

TEST_CASE(
    "FixedSampler: goes through its list again and again", "[fixed_sampler]") {
  auto net = gatedpaths::test::fake_gate({"a", "b", "c"}, 1, 2);
  PathSpace space(net);
  FixedSampler sampler(
      space, {space.parse(".=b"), space.parse(".=a+c"), space.parse(".=b")});
  CHECK(
      gatedpaths::test::first_paths(sampler, 7) ==
      std::vector<std::string>{
          ".=b", ".=a+c", ".=b", ".=b", ".=a+c", ".=b", ".=b"});
  CHECK(sampler.seed() == 0);
  REQUIRE(sampler.paths().size() == 3);
  CHECK(sampler.paths()[1] == sampler.at(1));
  space.apply(sampler.next());
  CHECK(net->is_open("b"));
  space.apply(sampler.next());
  CHECK(net->is_open("c"));
}

TEST_CASE("FixedSampler: a path is a function of the step", "[fixed_sampler]") {
  const auto layout = shared_layout({numbered_gate("g", 3, 1, 1)});
  gatedpaths::test::check_function_of_step(
      FixedSampler(layout, {layout->at(2), layout->at(0)}));
}

TEST_CASE(
    "FixedSampler: needs paths, all of its space", "[fixed_sampler][error]") {
  const auto layout = shared_layout({numbered_gate("g", 3, 1, 1)});
  const auto other = shared_layout({numbered_gate("g", 4, 1, 1)});
  CHECK(message_of<c10::ValueError>([&] {
          FixedSampler(layout, {});
        }) == "FixedSampler: expected at least one path, got none");
  char text[100];
  std::snprintf(
      text,
      sizeof(text),
      "FixedSampler: expected paths of space 0x%016llx, got one of space "
      "0x%016llx at 1",
      static_cast<unsigned long long>(layout->hash()),
      static_cast<unsigned long long>(other->hash()));
  CHECK(message_of<c10::ValueError>([&] {
          FixedSampler(layout, {layout->at(0), other->at(0)});
        }) == text);
  CHECK(
      message_of<c10::ValueError>([&] {
        FixedSampler(layout, {Path()});
      }).find("got one of space 0x0000000000000000 at 0") != std::string::npos);
  CHECK(message_of<c10::ValueError>([] {
          FixedSampler(
              std::shared_ptr<const gatedpaths::SpaceLayout>(), {Path()});
        }) == "Sampler: expected a space, got a null pointer");
}
