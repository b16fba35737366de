// SPDX-License-Identifier: MIT
#include <gatedpaths/search/search_history.hpp>

#include <gatedpaths/search/random_search.hpp>
#include <gatedpaths/search/regularized_evolution.hpp>

#include <c10/util/Logging.h>

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"
#include "support/samplers.hpp"
#include "support/strategies.hpp"

using gatedpaths::Direction;
using gatedpaths::Objective;
using gatedpaths::Path;
using gatedpaths::RandomSearch;
using gatedpaths::RegularizedEvolution;
using gatedpaths::RegularizedEvolutionOptions;
using gatedpaths::SearchHistory;
using gatedpaths::SearchOptions;
using gatedpaths::SearchRecord;
using gatedpaths::SearchStrategy;
using gatedpaths::test::message_of;
using gatedpaths::test::numbered_gate;
using gatedpaths::test::read_file;
using gatedpaths::test::search_layout;
using gatedpaths::test::search_value;
using gatedpaths::test::shared_layout;
using gatedpaths::test::TemporaryFolder;
using gatedpaths::test::write_file;

namespace {

class HistoryWarnings : public c10::WarningHandler {
 public:
  void process(const c10::Warning& warning) override {
    texts.push_back(warning.msg());
  }
  std::vector<std::string> texts;
};

RegularizedEvolution small_evolution(uint64_t seed) {
  return {
      search_layout(),
      seed,
      SearchOptions(),
      RegularizedEvolutionOptions().population_size(6).sample_size(3)};
}

// Evaluates in batches of four until there are `count` records, what is pending
// first; the second of a batch is told before the first, every ninth fails.
void search_on(SearchStrategy& strategy, SearchHistory& history, size_t count) {
  while (history.records().size() < count) {
    auto paths = strategy.pending();
    if (paths.empty()) {
      paths = strategy.ask(4);
    }
    const Path& path = paths.size() == 4 ? paths[1] : paths[0];
    SearchRecord record{.path = path};
    if (history.records().size() % 9 != 4) {
      record.values = {search_value(path) / 3};
    }
    record.cost = 2.5;
    record.rank = 1;
    history.tell(strategy, record);
  }
}

// Of paths that do not matter.
SearchHistory history_of(
    const std::vector<std::vector<double>>& values,
    std::vector<Objective> objectives) {
  const auto layout = search_layout();
  SearchHistory history(layout, std::move(objectives));
  for (size_t i = 0; i < values.size(); ++i) {
    history.add({.path = layout->at(i), .values = values[i]});
  }
  return history;
}

}  // namespace

TEST_CASE("SearchHistory: has a line for each record", "[search]") {
  const TemporaryFolder folder;
  const auto layout = search_layout();
  const std::vector<Objective> objectives{
      {"accuracy"}, {"macs", Direction::kMinimize}};
  SearchRecord first{
      .path = layout->at(3),
      .values = {0.1, 3e8},
      .cost = 3e8,
      .seconds = 1.5,
      .rank = 2,
      .length = 4,
      .seed = 18446744073709551615U,
      .ask = 1,
      .asked = 8};
  SearchRecord second{.path = layout->at(5)};
  {
    SearchHistory history(layout, objectives, folder / "a.jsonl");
    CHECK_FALSE(std::filesystem::exists(folder / "a.jsonl"));
    history.add(first);
    history.add(second);
  }
  CHECK(
      read_file(folder / "a.jsonl") ==
      fmt::format(
          "{{\"gatedpaths_history\":1,\"space\":\"{:#018x}\",\"objectives\":["
          "{{\"name\":\"accuracy\",\"direction\":\"maximize\"}},"
          "{{\"name\":\"macs\",\"direction\":\"minimize\"}}]}}\n"
          "{{\"path\":\"{}\",\"values\":[0.1,300000000.0],\"cost\":300000000.0,"
          "\"seconds\":1.5,\"rank\":2,\"length\":4,"
          "\"seed\":18446744073709551615,\"ask\":1,\"asked\":8}}\n"
          "{{\"path\":\"{}\",\"values\":[],\"cost\":0.0,\"seconds\":0.0,"
          "\"rank\":0,\"length\":0,\"seed\":0,\"ask\":0,\"asked\":0}}\n",
          layout->hash(),
          layout->to_string(first.path),
          layout->to_string(second.path)));
  const SearchHistory again(layout, objectives, folder / "a.jsonl");
  CHECK((again.records() == std::vector{first, second}));
}

TEST_CASE("SearchHistory: a killed search goes on exactly", "[search]") {
  const TemporaryFolder folder;
  const auto file = folder / "search.jsonl";
  auto whole = small_evolution(5);
  {
    SearchHistory history(search_layout(), {Objective{}}, file);
    search_on(whole, history, 40);
  }
  const std::string text = read_file(file);
  HistoryWarnings warnings;
  const c10::WarningUtils::WarningHandlerGuard guard(&warnings);
  // Killed after each line, and in the middle of each.
  size_t begin = 0;
  for (size_t end = text.find('\n'); end != std::string::npos;
       begin = end + 1, end = text.find('\n', begin)) {
    for (const size_t cut : {end + 1, (begin + end) / 2}) {
      CAPTURE(cut);
      write_file(file, text.substr(0, cut));
      warnings.texts.clear();
      SearchHistory history(search_layout(), {Objective{}}, file);
      CHECK(warnings.texts.size() == (cut == end + 1 ? 0 : 1));
      auto strategy = small_evolution(5);
      history.replay(strategy);
      search_on(strategy, history, 40);
      CHECK(read_file(file) == text);
      CHECK((strategy.pending() == whole.pending()));
    }
  }
  REQUIRE(begin == text.size());
}

TEST_CASE("SearchHistory: says that a last line was cut short", "[search]") {
  const TemporaryFolder folder;
  const auto file = folder / "search.jsonl";
  {
    SearchHistory history(search_layout(), {Objective{}}, file);
    history.add({.path = search_layout()->at(0), .values = {1}});
    history.add({.path = search_layout()->at(1), .values = {2}});
  }
  const std::string text = read_file(file);
  write_file(file, text.substr(0, text.size() - 9));
  HistoryWarnings warnings;
  const c10::WarningUtils::WarningHandlerGuard guard(&warnings);
  const SearchHistory history(search_layout(), {Objective{}}, file);
  CHECK(history.records().size() == 1);
  REQUIRE(warnings.texts.size() == 1);
  CHECK_THAT(
      warnings.texts[0],
      Catch::Matchers::StartsWith(
          "SearchHistory: '" + file.string() +
          "' ends in a line that was cut short, which "
          "is dropped: {\"path\":"));
}

TEST_CASE(
    "SearchHistory: replays into the same strategy alone", "[search][error]") {
  SearchHistory history(search_layout());
  auto strategy = small_evolution(5);
  search_on(strategy, history, 12);
  CHECK(
      message_of<c10::ValueError>([&] { history.replay(strategy); }) ==
      "SearchHistory::replay: expected a new strategy, got one that asked for "
      "12 paths and was told 12 results");
  auto other_seed = small_evolution(6);
  CHECK_THAT(
      message_of<c10::ValueError>([&] { history.replay(other_seed); }),
      Catch::Matchers::StartsWith(
          "SearchHistory::replay: expected the strategy of record 0, of seed "
          "5, which had asked for 4 paths, '") &&
          Catch::Matchers::ContainsSubstring(
              "being number 2, got RegularizedEvolution(") &&
          Catch::Matchers::ContainsSubstring(
              " of seed 6, with 4 paths, that one being number "));
  RandomSearch other_class(search_layout(), 5);
  CHECK_THAT(
      message_of<c10::ValueError>([&] { history.replay(other_class); }),
      Catch::Matchers::ContainsSubstring("got RandomSearch("));
  RandomSearch other_space(shared_layout({numbered_gate("a", 3, 1, 1)}), 5);
  CHECK_THAT(
      message_of<c10::ValueError>([&] { history.replay(other_space); }),
      Catch::Matchers::StartsWith("SearchHistory::replay: expected a strategy "
                                  "of space 0x"));
  RandomSearch minimizes(
      search_layout(),
      5,
      SearchOptions().objectives({{"value", Direction::kMinimize}}));
  CHECK(
      message_of<c10::ValueError>([&] { history.teach(minimizes); }) ==
      "SearchHistory::teach: expected a strategy with the objectives "
      "[{\"name\":\"value\",\"direction\":\"maximize\"}], got "
      "[{\"name\":\"value\",\"direction\":\"minimize\"}]");
}

TEST_CASE("SearchHistory: teaches another search", "[search]") {
  SearchHistory history(search_layout());
  auto strategy = small_evolution(5);
  search_on(strategy, history, 12);
  RandomSearch other(search_layout(), 9);
  history.teach(other);
  CHECK(other.told() == 12);
  CHECK(other.failures() == strategy.failures());
  CHECK(other.asked() == 0);
  CHECK(other.ask(1000).size() == 135 - 12);
}

TEST_CASE("SearchHistory: best so far and regret", "[search]") {
  const auto history =
      history_of({{}, {0.5}, {0.25}, {0.75}, {}, {0.75}}, {Objective{}});
  const double infinite = std::numeric_limits<double>::infinity();
  CHECK(history.best() == 3);
  CHECK(
      history.best_so_far() ==
      std::vector{-infinite, 0.5, 0.5, 0.75, 0.75, 0.75});
  CHECK(history.regret(1) == std::vector{infinite, 0.5, 0.5, 0.25, 0.25, 0.25});

  const auto small =
      history_of({{}, {0.5}, {0.25}, {0.75}}, {{"loss", Direction::kMinimize}});
  CHECK(small.best() == 2);
  CHECK(small.best_so_far() == std::vector{infinite, 0.5, 0.25, 0.25});
  CHECK(small.regret(0.25) == std::vector{infinite, 0.25, 0.0, 0.0});

  CHECK(history_of({{}, {}}, {Objective{}}).best() == std::nullopt);
  CHECK(message_of<c10::IndexError>([&] {
          history.best(1);
        }) == "SearchHistory::best: expected an objective in [0, 1), got 1");
  CHECK(message_of<c10::ValueError>([&] {
          history.regret(infinite);
        }) == "SearchHistory::regret: expected a finite optimum, got inf");
}

TEST_CASE("SearchHistory: the Pareto front", "[search]") {
  const auto history = history_of(
      {{1, 5}, {2, 5}, {}, {3, 9}, {2, 5}, {0, 4}, {2, 6}, {0, 4.5}},
      {{"accuracy"}, {"macs", Direction::kMinimize}});
  CHECK(history.pareto_front() == std::vector<size_t>{1, 3, 5});
  CHECK(history_of({{}}, {Objective{}}).pareto_front().empty());
}

TEST_CASE("SearchHistory: refuses records that are none", "[search][error]") {
  const TemporaryFolder folder;
  const auto layout = search_layout();
  const auto other = shared_layout({numbered_gate("a", 3, 1, 1)});
  SearchHistory history(layout, {Objective{}}, folder / "a.jsonl");
  const auto refusal = [&](const SearchRecord& record) {
    const auto message =
        message_of<c10::ValueError>([&] { history.add(record); });
    CHECK(history.records().empty());
    CHECK_FALSE(std::filesystem::exists(folder / "a.jsonl"));
    return message;
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto text = layout->to_string(layout->at(0));
  CHECK_THAT(
      refusal({.path = other->at(0), .values = {1}}),
      Catch::Matchers::StartsWith(
          "SearchHistory::add: expected a path of space 0x"));
  CHECK(
      refusal({.path = layout->at(0), .values = {1, 2}}) ==
      "SearchHistory::add: expected 1 values, or none for a failure, got 2");
  CHECK(
      refusal({.path = layout->at(0), .values = {nan}}) ==
      "SearchHistory::add: expected a finite 'value', got nan for " + text);
  CHECK(
      refusal({.path = layout->at(0), .seconds = nan}) ==
      "SearchHistory::add: expected a finite 'seconds', got nan for " + text);
  CHECK(message_of<c10::ValueError>([] {
          SearchHistory{nullptr};
        }) == "SearchHistory: expected a space, got a null pointer");
  CHECK(message_of<c10::ValueError>([&] {
          SearchHistory(layout, {});
        }) == "SearchHistory: expected at least 1 objective, got none");
}

TEST_CASE(
    "SearchHistory: refuses a file of something else", "[search][error]") {
  const TemporaryFolder folder;
  const auto file = folder / "a.jsonl";
  const auto layout = search_layout();
  {
    SearchHistory history(layout, {Objective{}}, file);
    history.add({.path = layout->at(0), .values = {1}});
  }
  const std::string text = read_file(file);
  const std::string head = text.substr(0, text.find('\n') + 1);
  const auto refusal = [&](const std::string& line) {
    write_file(file, line);
    return message_of<c10::ValueError>(
        [&] { SearchHistory(layout, {Objective{}}, file); });
  };
  using Catch::Matchers::ContainsSubstring;
  using Catch::Matchers::EndsWith;
  const auto other = shared_layout({numbered_gate("a", 3, 1, 1)});
  CHECK_THAT(
      message_of<c10::ValueError>(
          [&] { SearchHistory(other, {Objective{}}, file); }),
      ContainsSubstring("to hold records of {\"gatedpaths_history\":1,") &&
          EndsWith(
              "got " + head.substr(0, head.size() - 1) +
              "; give another file"));
  CHECK_THAT(
      message_of<c10::ValueError>(
          [&] { SearchHistory(layout, {{"loss"}}, file); }),
      ContainsSubstring("\"objectives\":[{\"name\":\"loss\","));
  CHECK_THAT(
      refusal(head + "{\"path\":\n"),
      ContainsSubstring("SearchHistory: expected a record in line 2 of '"));

  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    changed.replace(changed.find(from), from.size(), to);
    return refusal(changed);
  };
  const auto path = layout->to_string(layout->at(0));
  CHECK_THAT(
      with("[1.0]", "[\"nan\"]"),
      EndsWith(
          "SearchHistory: expected a finite 'value', got nan for " + path));
  CHECK_THAT(with("[1.0]", "[1.0,2.0]"), EndsWith("for a failure, got 2"));
  CHECK_THAT(
      with("\"seed\":0", "\"seed\":-1"),
      EndsWith("expected an integer of at least 0 as 'seed', got -1"));
  CHECK_THAT(
      with("\"rank\":0", "\"rank\":0.5"),
      EndsWith("expected an integer as 'rank', got 0.5"));
  CHECK_THAT(
      with("\"cost\":0.0", "\"cost\":\"much\""),
      EndsWith("expected a number as 'cost', got \"much\""));
  CHECK_THAT(
      with("[1.0]", "1.0"), EndsWith("expected an array as 'values', got 1.0"));
  CHECK_THAT(
      with("[1.0]", "[true]"),
      EndsWith("expected numbers as 'values', got true"));
  const std::string deep(100000, '[');
  const std::string ends(100000, ']');
  CHECK_THAT(
      with("\"seed\":0", "\"seed\":" + deep + ends),
      EndsWith("expected an integer of at least 0 as 'seed', got array"));
  CHECK_THAT(with("a=0", "a=7"), ContainsSubstring("'7'"));
  CHECK_THAT(with("\"asked\":0", "\"told\":0"), ContainsSubstring("'asked'"));
}
