// SPDX-License-Identifier: MIT
#include <gatedpaths/search/history_pictures.hpp>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/strategies.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;
using gatedpaths::Direction;
using gatedpaths::Objective;
using gatedpaths::pareto_front_svg;
using gatedpaths::progress_svg;
using gatedpaths::regret_svg;
using gatedpaths::SearchHistory;
using gatedpaths::test::message_of;
using gatedpaths::test::search_layout;

namespace {

SearchHistory drawn_history(
    const std::vector<std::vector<double>>& values,
    std::vector<Objective> objectives) {
  const auto layout = search_layout();
  SearchHistory history(layout, std::move(objectives));
  for (const auto& of_path : values) {
    history.add({.path = layout->at(0), .values = of_path});
  }
  return history;
}

size_t times_in(const std::string& part, const std::string& whole) {
  size_t count = 0;
  for (size_t at = whole.find(part); at != std::string::npos;
       at = whole.find(part, at + 1)) {
    ++count;
  }
  return count;
}

}  // namespace

TEST_CASE("progress_svg: draws each value and the best so far", "[search]") {
  const auto history =
      drawn_history({{}, {0.25}, {0.75}, {0.5}, {}}, {{"accuracy & more"}});
  const auto svg = progress_svg(history);
  CHECK_THAT(svg, StartsWith("<svg xmlns=\"http://www.w3.org/2000/svg\" "));
  CHECK_THAT(svg, EndsWith("</svg>\n"));
  CHECK(times_in("h0", svg) == 3);
  // From 2 to 5 records, and from 0.25 to 0.75.
  CHECK_THAT(svg, ContainsSubstring("M80.0 345.0h0"));
  CHECK_THAT(svg, ContainsSubstring("M260.0 20.0h0"));
  CHECK_THAT(svg, ContainsSubstring("M440.0 182.5h0"));
  CHECK_THAT(
      svg,
      ContainsSubstring("d=\"M80.0 345.0L260.0 20.0L440.0 20.0L620.0 20.0\""));
  CHECK_THAT(svg, ContainsSubstring(">accuracy &amp; more</text>"));
  CHECK_THAT(svg, ContainsSubstring(">best so far</text>"));
  for (const auto* const tick : {">0.3<", ">0.4<", ">0.7<", ">2<", ">5<"}) {
    CHECK(times_in(tick, svg) == 1);
  }
}

TEST_CASE("regret_svg: draws the regret", "[search]") {
  const auto history =
      drawn_history({{3}, {4}, {1}}, {{"loss", Direction::kMinimize}});
  const auto svg = regret_svg(history, 1);
  CHECK_THAT(svg, ContainsSubstring("d=\"M80.0 20.0L350.0 20.0L620.0 345.0\""));
  CHECK_THAT(svg, ContainsSubstring(">regret of loss</text>"));
  CHECK(times_in("h0", svg) == 0);
}

TEST_CASE("pareto_front_svg: joins the front", "[search]") {
  const auto history = drawn_history(
      {{2, 30}, {1, 10}, {}, {1, 20}, {3, 50}},
      {{"accuracy"}, {"macs", Direction::kMinimize}});
  const auto svg = pareto_front_svg(history);
  CHECK(times_in("h0", svg) == 4);
  CHECK_THAT(
      svg, ContainsSubstring("d=\"M80.0 345.0L350.0 182.5L620.0 20.0\""));
  CHECK_THAT(svg, ContainsSubstring(">macs</text>"));
  CHECK_THAT(
      pareto_front_svg(history, 0, 1),
      ContainsSubstring("d=\"M80.0 345.0L350.0 182.5L620.0 20.0\""));
}

TEST_CASE("progress_svg: refuses objectives that are none", "[search][error]") {
  const auto history = drawn_history({{1}}, {Objective{}});
  CHECK(message_of<c10::IndexError>([&] {
          progress_svg(history, 1);
        }) == "progress_svg: expected an objective in [0, 1), got 1");
  CHECK(message_of<c10::IndexError>([&] {
          regret_svg(history, 0, 2);
        }) == "regret_svg: expected an objective in [0, 1), got 2");
  CHECK(message_of<c10::IndexError>([&] {
          pareto_front_svg(history);
        }) == "pareto_front_svg: expected an objective in [0, 1), got 1");
}
