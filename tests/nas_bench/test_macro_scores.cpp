// SPDX-License-Identifier: MIT
#include "nas_bench_macro/scores.hpp"

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"

#include <limits>
#include <string>
#include <vector>

namespace nas_bench_macro {

namespace test = gatedpaths::test;

TEST_CASE("NAS-Bench-Macro: a ranking is read as it was written") {
  const test::TemporaryFolder folder;
  const auto file = folder / "ranking.txt";
  const Scores scores = {
      {"00000000", {0.347, 1.8211}},
      {"22222222", {1, std::numeric_limits<double>::min()}},
      {"01201201", {0, 1.0 / 3}}};
  write_scores(file, {"a note", "", "another"}, scores);
  std::vector<std::string> notes;
  const auto read = read_scores(file, notes);
  CHECK(notes == std::vector<std::string>{"a note", "", "another"});
  REQUIRE(read.size() == scores.size());
  for (const auto& [net, score] : scores) {
    CHECK(read.at(net).accuracy == score.accuracy);
    CHECK(read.at(net).loss == score.loss);
  }
}

TEST_CASE("NAS-Bench-Macro: a damaged ranking is refused", "[error]") {
  const test::TemporaryFolder folder;
  const auto file = folder / "ranking.txt";
  const auto name = "'" + file.string() + "': ";
  std::vector<std::string> notes;
  const auto refusal = [&](const std::string& text) {
    test::write_file(file, text);
    return test::message_of<c10::ValueError>(
        [&] { static_cast<void>(read_scores(file, notes)); });
  };
  for (const auto* line :
       {"",
        "00000000",
        "00000000 0.5",
        "00000000 0.5 ",
        "00000000 0.5 1 2",
        "00000000 0.5 1\r",
        "00000000 0.5 nan",
        "00000000 0.5 inf",
        "00000000 nan 1",
        "00000000 1.5 1",
        "00000000 -0.5 1",
        "00000000  0.5 1",
        "0000000 0.5 1",
        "00000003 0.5 1",
        "000000000.5 1"}) {
    CHECK(
        refusal(std::string("00000001 0.5 1\n") + line + "\n") ==
        name +
            "expected a net, its accuracy from 0 to 1 and its loss a line, got "
            "'" +
            line + "'");
  }
  CHECK(
      refusal("00000001 0.5 1\n00000001 0.5 1\n") ==
      name + "expected each net once, got '00000001' twice");
  CHECK(refusal("# a note\n") == name + "expected a line a net, got none");
  CHECK(
      test::message_of<c10::Error>([&] {
        static_cast<void>(read_scores(folder / "none", notes));
      }) == "expected a ranking that can be read, got '" +
                (folder / "none").string() + "'");
}

}  // namespace nas_bench_macro
