// SPDX-License-Identifier: MIT
#include "nas_bench_201/architecture.hpp"

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <gatedpaths/paths/space_layout.hpp>

#include <set>
#include <string>

namespace nas_bench_201 {

namespace gp = gatedpaths;
namespace test = gatedpaths::test;

TEST_CASE("NAS-Bench-201: each path has a text of its own, and back") {
  const auto space = layout();
  REQUIRE(space->size() == 15'625);
  std::set<std::string> texts;
  int different = 0;
  for (uint64_t i = 0; i < space->size(); ++i) {
    const auto path = space->at(i);
    const auto text = architecture(path);
    const auto cell = cell_of(text);
    uint64_t number = 0;
    for (const auto operation : cell) {
      number = 5 * number + static_cast<uint64_t>(operation);
    }
    different += path_of(*space, text) == path && architecture(cell) == text &&
                         number == i
                     ? 0
                     : 1;
    texts.insert(text);
  }
  CHECK(different == 0);
  CHECK(texts.size() == 15'625);
  CHECK(
      architecture(Cell{0, 1, 2, 3, 4, 0}) ==
      "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|"
      "avg_pool_3x3~1|none~2|");
  CHECK(
      space->to_string(path_of(
          *space,
          "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|"
          "avg_pool_3x3~1|none~2|")) ==
      "edge_0_1=none;edge_0_2=skip_connect;edge_1_2=nor_conv_1x1;"
      "edge_0_3=nor_conv_3x3;edge_1_3=avg_pool_3x3;edge_2_3=none");
}

TEST_CASE("NAS-Bench-201: what is no architecture is refused", "[error]") {
  const std::string good =
      "|none~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|";
  const auto refusal = [](const std::string& text) {
    return test::message_of<c10::ValueError>(
        [&] { static_cast<void>(cell_of(text)); });
  };
  const auto message = [](const std::string& expected,
                          size_t place,
                          const std::string& text,
                          const std::string& got) {
    return "nas_bench_201: expected " + expected + " at place " +
           std::to_string(place) + " of the architecture '" + text + "', got " +
           got;
  };
  const auto operation = [](int source, int target) {
    return "an operation from node " + std::to_string(source) + " to node " +
           std::to_string(target) +
           " (none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3)";
  };
  REQUIRE(refusal(good) == "(no error)");

  SECTION("each text that ends too early") {
    for (size_t size = 0; size < good.size(); ++size) {
      REQUIRE(refusal(good.substr(0, size)).starts_with("nas_bench_201: "));
    }
    CHECK(refusal("") == message("'|'", 0, "", "its end"));
    CHECK(refusal("|") == message(operation(0, 1), 1, "|", "its end"));
    CHECK(refusal("|none") == message("'~0|'", 5, "|none", "its end"));
    CHECK(refusal("|none~0|") == message("'+|'", 8, "|none~0|", "its end"));
  }
  SECTION("each text with a character too few or too many") {
    for (size_t place = 0; place < good.size(); ++place) {
      auto text = good;
      text.erase(place, 1);
      REQUIRE(refusal(text).starts_with("nas_bench_201: "));
      for (const char c : {'|', '~', '+', '0', 'n', ' '}) {
        text = good;
        text.insert(place, 1, c);
        REQUIRE(refusal(text).starts_with("nas_bench_201: "));
      }
    }
  }
  SECTION("what stands elsewhere") {
    CHECK(
        refusal(good + "+|none~0|") ==
        message("the end", good.size(), good + "+|none~0|", "'+|none~0|'"));
    CHECK(refusal(good + "\n").ends_with(", got '\\x0a'"));
    CHECK(
        refusal(" " + good) ==
        message("'|'", 0, " " + good, "' " + good + "'"));
    // Edges in another order, from another node, doubled or left out.
    CHECK(
        refusal("|none~0|+|none~1|none~0|") ==
        message("'~0|'", 14, "|none~0|+|none~1|none~0|", "'~1|none~0|'"));
    CHECK(refusal("|none~1|") == message("'~0|'", 5, "|none~1|", "'~1|'"));
    CHECK(refusal("|none~00|") == message("'~0|'", 5, "|none~00|", "'~00|'"));
    CHECK(
        refusal("|none~0|none~0|") ==
        message("'+|'", 8, "|none~0|none~0|", "'none~0|'"));
    CHECK(
        refusal("|none~0|+|none~0|+") ==
        message(operation(1, 2), 17, "|none~0|+|none~0|+", "'+'"));
  }
  SECTION("what is no operation") {
    for (const std::string word :
         {"", "None", "none ", "zero", "nor_conv_3x", "nor_conv_3x33", "0"}) {
      const auto text = "|" + word + "~0|";
      CHECK(
          refusal(text) ==
          message(operation(0, 1), 1, text, "'" + word + "~0|'"));
    }
  }
  SECTION("bytes that cannot be shown") {
    const std::string nul(1, '\0');
    CHECK(
        refusal("|none" + nul + "~0|") ==
        message(operation(0, 1), 1, "|none\\x00~0|", "'none\\x00~0|'"));
    CHECK(refusal(good + nul).ends_with(", got '\\x00'"));
    CHECK(refusal("\xff").ends_with(", got '\\xff'"));
    const std::string longest(1'000'000, 'x');
    CHECK(refusal("|" + longest)
              .ends_with(", got '" + longest.substr(0, 160) + "...'"));
  }
}

TEST_CASE(
    "NAS-Bench-201: paths and cells of elsewhere are refused", "[error]") {
  const gp::SpaceLayout other({{.name = "a", .branch_names = {"b", "c"}}});
  CHECK(test::message_of<c10::ValueError>([&] {
          static_cast<void>(architecture(other.at(1)));
        }).starts_with("nas_bench_201: expected a path of space 0x"));
  CHECK_THROWS_AS(architecture(gp::Path()), c10::ValueError);
  CHECK(test::message_of<c10::ValueError>([&] {
          static_cast<void>(path_of(other, architecture(Cell{})));
        }).starts_with("nas_bench_201: expected the space 0x"));
  CHECK(
      test::message_of<c10::IndexError>(
          [] { static_cast<void>(architecture(Cell{0, 0, 5, 0, 0, 0})); }) ==
      "nas_bench_201: expected an operation from 0 to 4 on edge 2, got 5");
  CHECK_THROWS_AS(architecture(Cell{-1}), c10::IndexError);
}

}  // namespace nas_bench_201
