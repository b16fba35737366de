// SPDX-License-Identifier: MIT
#include "nas_bench_macro/net.hpp"

#include "nas_bench_macro/table.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"

#include <gatedpaths/exchange/derive.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/search/cost_model.hpp>

#include <string>
#include <vector>

namespace nas_bench_macro {

namespace gp = gatedpaths;
namespace test = gatedpaths::test;

TEST_CASE("NAS-Bench-Macro: all nets have the published parameters and FLOPs") {
  const Table table(NAS_BENCH_MACRO_TABLE);
  Net net;
  const gp::PathSpace space(net);
  REQUIRE(space.size() == table.records().size());
  const auto cost = gp::CostModel::measure(
      net,
      space,
      torch::zeros({1, 3, 32, 32}),
      gp::CostOptions().activations(false));
  CHECK(cost.is_additive(gp::CostKind::kParameters));
  CHECK(cost.is_additive(gp::CostKind::kMacs));
  int different = 0;
  for (const auto& record : table.records()) {
    const auto of = cost.of(path_of(*space.layout(), record.architecture));
    different +=
        of.parameters == record.parameters && of.macs == record.flops ? 0 : 1;
  }
  CHECK(different == 0);
}

TEST_CASE("NAS-Bench-Macro: a path's text, and back") {
  Net net(NetOptions{.width = 0.25});
  const gp::PathSpace space(net);
  CHECK(*layout() == *space.layout());
  for (const uint64_t i : {0, 1, 2, 3, 1000, 6560}) {
    const auto path = space.at(i);
    const auto text = architecture(path);
    CHECK(text.size() == 8);
    CHECK(path_of(*space.layout(), text) == path);
    CHECK(std::stoull(text, nullptr, 3) == i);
  }
  for (const auto* text :
       {"", "0000000", "000000000", "0000000a", "00000003"}) {
    CHECK(
        test::message_of<c10::ValueError>(
            [&] { static_cast<void>(path_of(*space.layout(), text)); }) ==
        "expected an architecture of 8 digits from 0 to 2, "
        "got '" +
            std::string(text) + "'");
  }
}

TEST_CASE("NAS-Bench-Macro: paths of another space are refused", "[error]") {
  // Of more gates than blocks.
  std::vector<gp::GateLayout> gates;
  for (const auto* name : {"a", "b", "c", "d", "e", "f", "g", "h", "i"}) {
    gates.push_back({.name = name, .branch_names = {"x", "y", "z"}});
  }
  const gp::SpaceLayout other(gates);
  CHECK(test::message_of<c10::ValueError>([&] {
          static_cast<void>(path_of(other, "00000000"));
        }).starts_with("nas_bench_macro: expected the space 0x"));
  CHECK_THROWS_AS(architecture(other.at(0)), c10::ValueError);
  CHECK_THROWS_AS(architecture(gp::Path()), c10::ValueError);
}

TEST_CASE("NAS-Bench-Macro: the stages make the forward") {
  torch::manual_seed(3);
  Net net(NetOptions{.width = 0.125, .classes = 7});
  const gp::PathSpace space(net);
  space.apply(path_of(*space.layout(), "12010212"));
  net->eval();
  const torch::NoGradGuard no_grad;
  const auto images = torch::randn({2, 3, 16, 16});
  auto x = images;
  for (const auto& stage : net->stages()) {
    x = stage(x);
  }
  CHECK(x.sizes() == c10::IntArrayRef({2, 7}));
  CHECK(torch::equal(x, net->forward(images)));
  // The net of a path alone, and a copy, are the same function.
  auto alone = gp::derive(net, space, space.current());
  CHECK(torch::equal(alone->forward(images), x));
  CHECK(alone->parameters().size() < net->parameters().size());
}

TEST_CASE("NAS-Bench-Macro: a width without whole channels is refused") {
  CHECK(
      test::message_of<c10::ValueError>(
          [] { Net(NetOptions{.width = 0.3}); }) ==
      "nas_bench_macro::Net: expected a width that gives whole channels, got "
      "32 channels times 0.3");
  CHECK_THROWS_AS(Net(NetOptions{.width = 0}), c10::ValueError);
  CHECK_THROWS_AS(Net(NetOptions{.width = -1}), c10::ValueError);
  CHECK_THROWS_AS(Net(NetOptions{.width = std::nan("")}), c10::ValueError);
}

}  // namespace nas_bench_macro
