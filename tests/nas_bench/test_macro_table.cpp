// SPDX-License-Identifier: MIT
#include "nas_bench_macro/table.hpp"

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"

#include <limits>
#include <string>

namespace nas_bench_macro {

namespace test = gatedpaths::test;

TEST_CASE("NAS-Bench-Macro: what the table says") {
  const Table table(NAS_BENCH_MACRO_TABLE);
  REQUIRE(table.records().size() == 6561);
  const auto& first = table.at("00000000");
  CHECK(first.parameters == 387'882);
  CHECK(first.flops == 7'713'280);
  CHECK(first.accuracies[1] == 45.33);
  CHECK(std::abs(first.accuracy() - 45.3633) < 1e-3);
  CHECK(&table.at("22222222") == &table.records().back());
  for (const auto& record : table.records()) {
    REQUIRE(&table.at(record.architecture) == &record);
  }

  constexpr auto kAll = std::numeric_limits<int64_t>::max();
  const auto& best = table.best(kAll);
  CHECK(table.rank(best, kAll) == 1);
  CHECK(table.rank(first, first.flops) == 1);
  const auto& within = table.best(50'000'000);
  CHECK(within.flops <= 50'000'000);
  CHECK(within.accuracy() < best.accuracy());
  CHECK(table.rank(within, 50'000'000) == 1);
  CHECK(table.rank(within, kAll) > 1);
  CHECK(
      test::message_of<c10::ValueError>(
          [&] { static_cast<void>(table.best(7'713'279)); }) ==
      "expected a net within 7713279 FLOPs, got none; the "
      "smallest has 7713280");
  for (const auto* text : {"", "0", "000000000", "00000003"}) {
    CHECK_THROWS_AS(table.at(text), c10::ValueError);
  }
}

TEST_CASE("NAS-Bench-Macro: a damaged table is refused", "[error]") {
  const auto whole = test::read_file(NAS_BENCH_MACRO_TABLE);
  const test::TemporaryFolder folder;
  const auto file = folder / "table.txt";
  const auto refusal = [&](const std::string& text) {
    test::write_file(file, text);
    return test::message_of<c10::ValueError>([&] { Table{file}; });
  };
  const auto last = whole.rfind('\n', whole.size() - 2) + 1;
  const auto name = "'" + file.string() + "'";
  CHECK(
      refusal(whole.substr(0, last)) ==
      "expected 6561 nets in " + name + ", got 6560");
  CHECK(
      refusal(whole + whole.substr(last)) ==
      "expected 6561 nets in " + name + ", got more");
  for (const auto* row :
       {"9000 9000 9000 1",
        "9000 9000 9000 1 2 3",
        "9000 9000 10001 1 2",
        "9000 9000 -1 1 2",
        "9000 9000 90.5 1 2",
        "9000 9000 9000 0 2",
        "9000 9000 9000 1 x",
        "9000 9000 9000 1 99999999999999999999",
        ""}) {
    CHECK(
        refusal(whole.substr(0, last) + "22222222 " + row + "\n") ==
        "expected net 22222222, three accuracies in hundredths of a percent, "
        "parameters and FLOPs in " +
            name + ", got '22222222 " + row + "'");
  }
  // As many rows as there should be, but one twice in the place of another.
  const auto second_to_last = whole.rfind('\n', last - 2) + 1;
  const auto row = whole.substr(second_to_last, last - second_to_last - 1);
  CHECK_THAT(
      refusal(whole.substr(0, last) + row + "\n"),
      Catch::Matchers::StartsWith("expected net 22222222, ") &&
          Catch::Matchers::EndsWith(", got '" + row + "'"));
  CHECK(test::message_of<c10::Error>([&] {
          Table{folder / "none"};
        }).starts_with("expected a table that can be read"));
}

}  // namespace nas_bench_macro
