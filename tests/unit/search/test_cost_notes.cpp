// SPDX-License-Identifier: MIT
#include <gatedpaths/search/cost_notes.hpp>

#include "support/catch.hpp"
#include "support/costs.hpp"
#include "support/errors.hpp"

#include <gatedpaths/search/cost_model.hpp>

#include <memory>
#include <string>
#include <vector>

namespace gatedpaths {
namespace {

std::shared_ptr<const SpaceLayout> one_gate() {
  return std::make_shared<const SpaceLayout>(
      std::vector<GateLayout>{{.name = "g", .branch_names = {"a", "b"}}});
}

/// The note of a branch that costs so much.
BranchNote note(CostKind kind, const PathCost& cost) {
  const auto model = test::made_up_costs(
      one_gate(),
      [&](int64_t, int64_t branch) { return branch == 1 ? cost : PathCost(); });
  return cost_notes(model, kind)(0, 1);
}

std::string macs_text(int64_t macs) {
  return note(CostKind::kMacs, {.macs = macs}).text;
}

std::string bytes_text(int64_t bytes) {
  return note(CostKind::kActivationBytes, {.activation_bytes = bytes}).text;
}

std::string latency_text(double seconds) {
  return note(CostKind::kLatency, {.latency = seconds}).text;
}

}  // namespace

TEST_CASE("cost_notes: numbers with three digits and a unit", "[search]") {
  CHECK(macs_text(0) == "0");
  CHECK(macs_text(999) == "999");
  CHECK(macs_text(1'234) == "1.23 k");
  CHECK(macs_text(999'499) == "999 k");
  CHECK(macs_text(999'700) == "1 M");
  CHECK(macs_text(184'730'000) == "185 M");
  CHECK(macs_text(2'500'000'000'000) == "2.5 T");
  CHECK(macs_text(-38'400) == "-38.4 k");
  CHECK(note(CostKind::kFlops, {.flops = 12'000}).text == "12 k");
  CHECK(note(CostKind::kParameters, {.parameters = 7}).text == "7");
  CHECK(bytes_text(1023) == "1023 B");
  CHECK(bytes_text(1000) == "1000 B");
  CHECK(bytes_text(1536) == "1.5 KiB");
  CHECK(bytes_text(int64_t{3} << 30U) == "3 GiB");
  CHECK(
      note(CostKind::kParameterBytes, {.parameter_bytes = 64}).text == "64 B");
  CHECK(latency_text(0) == "0 ns");
  CHECK(latency_text(2.5e-7) == "250 ns");
  CHECK(latency_text(1.25e-5) == "12.5 us");
  CHECK(latency_text(0.0102) == "10.2 ms");
  CHECK(latency_text(-3) == "-3 s");
}

TEST_CASE("cost_notes: weights are the costs, none below zero", "[search]") {
  CHECK(note(CostKind::kMacs, {.macs = 1234}).weight == 1234);
  CHECK(note(CostKind::kMacs, {.macs = -5}).weight == 0);
  CHECK(note(CostKind::kLatency, {.latency = 0.5}).weight == 0.5);
}

TEST_CASE("cost_notes: costs that were not measured", "[search][error]") {
  auto text = test::made_up_macs(one_gate(), [](int64_t, int64_t) {
                return 1;
              }).to_json();
  const std::string latency = ",\n    \"latency\"";
  REQUIRE(text.find(latency) != std::string::npos);
  text.erase(text.find(latency), latency.size());
  const auto model = CostModel::from_json(one_gate(), text);
  CHECK(
      test::message_of<c10::ValueError>(
          [&] { cost_notes(model, CostKind::kLatency); }) ==
      "cost_notes: expected a model that has measured latency, got one that "
      "has not");
}

}  // namespace gatedpaths
