// SPDX-License-Identifier: MIT
#include "nas_bench_macro/agreement.hpp"
#include "nas_bench_macro/ranking_report.hpp"
#include "nas_bench_macro/scores.hpp"
#include "nas_bench_macro/table.hpp"
#include "small_macro_run.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace nas_bench_macro {

namespace test = gatedpaths::test;
namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::WithinAbs;

/// As if each net were known by the table: nothing ranks better.
Scores perfect_scores(const Table& table) {
  Scores scores;
  for (const auto& record : table.records()) {
    scores[record.architecture] = {
        .accuracy = record.accuracy() / 100, .loss = 100 - record.accuracy()};
  }
  return scores;
}

}  // namespace

TEST_CASE("NAS-Bench-Macro: floor and ceiling of a ranking") {
  const Table table(NAS_BENCH_MACRO_TABLE);
  const auto agreed = agreements(table, perfect_scores(table), /*seed=*/0);
  REQUIRE(agreed.size() == 5);
  // SciPy's kendalltau on the published table; the best tenth by the mean.
  const std::vector<std::vector<double>> expected = {
      {1, 1}, {1, 1}, {0.5560, 0.3402}, {0.2176, 0.1428}, {0.8820, 0.1836}};
  for (std::size_t i = 0; i < agreed.size(); ++i) {
    CAPTURE(agreed[i].what);
    CHECK_THAT(agreed[i].tau.value, WithinAbs(expected[i][0], 5e-4));
    CHECK_THAT(agreed[i].tau_best.value, WithinAbs(expected[i][1], 5e-4));
    CHECK(agreed[i].tau.low <= agreed[i].tau.value);
    CHECK(agreed[i].tau.value <= agreed[i].tau.high);
    CHECK(agreed[i].rho.value > agreed[i].tau.value - 1e-12);
  }
  const auto text = agreement_table(agreed, 6561);
  CHECK_THAT(text, ContainsSubstring("6561 nets ranked by"));
  CHECK_THAT(text, ContainsSubstring("FLOPs"));
  CHECK_THAT(text, ContainsSubstring(" 0.556 ("));
}

TEST_CASE("NAS-Bench-Macro: too few nets have no ranking", "[error]") {
  const Table table(NAS_BENCH_MACRO_TABLE);
  Scores scores;
  for (std::size_t i = 0; i < 19; ++i) {
    scores[table.records()[i].architecture] = {0.5, 1};
  }
  CHECK(test::message_of<c10::ValueError>([&] {
          static_cast<void>(agreements(table, scores, 0));
        }) == "expected the scores of at least 20 nets, got 19");
}

TEST_CASE("NAS-Bench-Macro: the report of a ranking") {
  const test::TemporaryFolder folder;
  const Table table(NAS_BENCH_MACRO_TABLE);
  auto options = small_options();
  options.out = folder.path();
  const auto scores = perfect_scores(table);
  const auto& best = table.best(50'000'000);
  const auto text = report(
      options, table, {"a note"}, scores, table.records()[7].architecture);
  CHECK_THAT(text, ContainsSubstring("found"));
  CHECK_THAT(text, ContainsSubstring("1st ranked        " + best.architecture));
  const auto json =
      nlohmann::json::parse(test::read_file(folder / "report.json"));
  CHECK(json["found"]["architecture"] == table.records()[7].architecture);
  CHECK(json["first of the ranking"]["architecture"] == best.architecture);
  CHECK(json["first of the ranking"]["rank"] == 1);
  CHECK(json["regret"] == best.accuracy() - table.records()[7].accuracy());
  CHECK(json["rankings"].size() == 5);
  CHECK(json["nets"] == 6561);
  for (const auto* picture :
       {"supernet_against_table.svg", "accuracy_against_flops.svg"}) {
    CHECK_THAT(
        test::read_file(folder / picture), ContainsSubstring("published"));
  }
  // The one net that was found and is the first of the ranking has one line.
  const auto same = report(options, table, {}, scores, best.architecture);
  CHECK_THAT(same, ContainsSubstring("found, 1st ranked " + best.architecture));
  CHECK_THAT(same, ContainsSubstring("Regret: 0.00 points."));

  options.budget = 7e6;
  CHECK(test::message_of<c10::ValueError>([&] {
          static_cast<void>(report(options, table, {}, scores, "00000000"));
        }).find("expected") != std::string::npos);
}

}  // namespace nas_bench_macro
