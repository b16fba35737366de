// SPDX-License-Identifier: MIT
#include "nas_bench_201/table.hpp"

#include "nas_bench_201/architecture.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"

#include <gatedpaths/paths/space_layout.hpp>

#include <algorithm>
#include <array>
#include <string>

namespace nas_bench_201 {

namespace test = gatedpaths::test;

TEST_CASE("NAS-Bench-201: the table has the source's rows in path order") {
  const Table table(NAS_BENCH_201_TABLE);
  const auto space = layout();
  REQUIRE(table.records().size() == space->size());
  uint64_t number = 0;
  for (const auto& record : table.records()) {
    REQUIRE(record.architecture == architecture(space->at(number++)));
    REQUIRE(&table.at(record.architecture) == &record);
  }
  // The first rows of the source, in another order there.
  CHECK(
      table
          .at("|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|"
              "nor_conv_1x1~0|skip_connect~1|skip_connect~2|")
          .accuracies ==
      std::array<double, 6>{63.364, 69.550, 31.840, 31.260, 18.467, 17.000});
  const auto& second = table.at(
      "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|"
      "nor_conv_3x3~1|skip_connect~2|");
  CHECK(second.accuracy(Images::kCifar10Valid) == 82.834);
  CHECK(second.accuracy(Images::kCifar10Test) == 88.220);
  CHECK(second.accuracy(Images::kCifar100Valid) == 57.800);
  CHECK(second.accuracy(Images::kCifar100Test) == 58.260);
  CHECK(second.accuracy(Images::kImageNet16Valid) == 35.433);
  CHECK(second.accuracy(Images::kImageNet16Test) == 33.800);
  CHECK_THROWS_AS(table.at("|none~0|"), c10::ValueError);
}

TEST_CASE("NAS-Bench-201: the best nets, and the place of the others") {
  const Table table(NAS_BENCH_201_TABLE);
  const auto highest = [&](Images images) {
    return table.best(images).accuracy(images);
  };
  CHECK(highest(Images::kCifar10Valid) == 84.892);
  CHECK(highest(Images::kCifar10Test) == 89.160);
  CHECK(highest(Images::kCifar100Valid) == 61.320);
  CHECK(highest(Images::kCifar100Test) == 61.180);
  CHECK(highest(Images::kImageNet16Valid) == 38.667);
  CHECK(highest(Images::kImageNet16Test) == 38.267);

  constexpr auto kImages10 = Images::kCifar10Test;
  const auto& best = table.best(kImages10);
  CHECK(table.rank(best, kImages10) == 1);
  // All that compute nothing are the worst, in one place.
  const auto& nothing = table.records().front();
  const auto worst = std::count_if(
      table.records().begin(), table.records().end(), [&](const auto& record) {
        return record.accuracy(kImages10) <= nothing.accuracy(kImages10);
      });
  CHECK(nothing.accuracy(kImages10) == 10);
  CHECK(worst > 1);
  CHECK(table.rank(nothing, kImages10) == 15'626 - worst);

  const auto no_convolution = [](const Record& record) {
    return record.architecture.find("conv") == std::string::npos;
  };
  const auto& without = table.best(kImages10, no_convolution);
  CHECK(no_convolution(without));
  CHECK(table.rank(without, kImages10, no_convolution) == 1);
  CHECK(table.rank(without, kImages10) > 1);
  CHECK(test::message_of<c10::ValueError>([&] {
          static_cast<void>(
              table.best(kImages10, [](const Record&) { return false; }));
        }) == "nas_bench_201: expected a net that takes part, got none");
}

TEST_CASE("NAS-Bench-201: a damaged table is refused", "[error]") {
  const auto whole = test::read_file(NAS_BENCH_201_TABLE);
  const test::TemporaryFolder folder;
  const auto file = folder / "table.txt";
  const auto name = "'" + file.string() + "'";
  const auto refusal = [&](const std::string& text) {
    test::write_file(file, text);
    return test::message_of<c10::ValueError>([&] { Table{file}; });
  };
  const auto begin = whole.find("\n031421 ") + 1;
  const auto end = whole.find('\n', begin) + 1;
  REQUIRE(begin > 1);
  const auto row = whole.substr(begin, end - begin);
  const auto before = whole.substr(0, begin);
  const auto after = whole.substr(end);
  const auto next = after.substr(0, after.find('\n'));
  const auto expected = [&](const std::string& net, int number) {
    return "nas_bench_201: expected net " + net +
           " with 6 accuracies in thousandths of a percent as row " +
           std::to_string(number) + " of " + name + ", got ";
  };
  REQUIRE(refusal(whole) == "(no error)");

  SECTION("a row is missing") {
    CHECK(
        refusal(before + after) == expected("031421", 2111) + "'" + next + "'");
    const auto last = whole.rfind('\n', whole.size() - 2) + 1;
    CHECK(
        refusal(whole.substr(0, last)) ==
        "nas_bench_201: expected 15625 nets in " + name + ", got 15624");
    CHECK(
        refusal("") ==
        "nas_bench_201: expected 15625 nets in " + name + ", got 0");
  }
  SECTION("a row is doubled") {
    CHECK(
        refusal(before + row + row + after) ==
        expected("031422", 2112) + "'" + row.substr(0, row.size() - 1) + "'");
    const auto last = whole.substr(whole.rfind('\n', whole.size() - 2) + 1);
    CHECK(
        refusal(whole + last) == "nas_bench_201: expected 15625 nets in " +
                                     name + ", got also '" +
                                     last.substr(0, last.size() - 1) + "'");
  }
  SECTION("a row stands for another one, so that their number is right") {
    CHECK(refusal(before + row + row + after.substr(next.size() + 1))
              .starts_with(expected("031422", 2112)));
  }
  SECTION("a row has another form") {
    for (const std::string wrong :
         {"",
          "031421",
          "031421 1 2 3 4 5",
          "031421 1 2 3 4 5 6 7",
          "31421 1 2 3 4 5 6",
          "0314210 1 2 3 4 5 6",
          "031425 1 2 3 4 5 6",
          "031421 1 2 3 4 5 100001",
          "031421 -1 2 3 4 5 6",
          "031421 1 2.5 3 4 5 6",
          "031421 1 2 3 x 5 6",
          "031421 1 2 3 4 5 6x",
          "031421 1 2 3 4 5 99999999999999999999",
          " #"}) {
      CHECK(
          refusal(before + wrong + "\n" + after) ==
          expected("031421", 2111) + "'" + wrong + "'");
    }
    CHECK(
        refusal(before + std::string("031421 1 2 3 4 5 6\0", 19) + "\n") ==
        expected("031421", 2111) + "'031421 1 2 3 4 5 6\\x00'");
  }
  SECTION("lines that another system ends") {
    std::string text;
    for (const char c : whole) {
      text += c == '\n' ? "\r\n" : std::string(1, c);
    }
    CHECK(refusal(text) == "(no error)");
  }
  SECTION("no file") {
    for (const auto& path : {folder / "none", folder.path()}) {
      CHECK(
          test::message_of<c10::Error>([&] { Table{path}; }) ==
          "nas_bench_201: expected a table that can be read, got '" +
              path.string() + "'");
    }
  }
}

}  // namespace nas_bench_201
