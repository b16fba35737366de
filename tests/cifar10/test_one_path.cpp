// SPDX-License-Identifier: MIT
// The program with --path and --derive: one path of the net, alone.
#include "saved_run.hpp"
#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/process.hpp"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <regex>
#include <string>
#include <vector>

namespace cifar10 {

namespace test = gatedpaths::test;
namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;
using test::read_file;

using Words = std::vector<std::string>;

/// A folder with the checkpoint of a supernet.
struct TrainedSupernet {
  TrainedSupernet() {
    const auto run = program({"--checkpoint", file});
    INFO(run.err);
    REQUIRE(run.status == 0);
    bytes = read_file(file);
  }

  static Words command(const Words& more, const char* limit = "64") {
    Words words{
        CIFAR10_PROGRAM,
        "--batch-size",
        "16",
        "--paths",
        "3",
        "--limit",
        limit};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  test::Finished program(Words more) const {
    more.insert(more.end(), {"--epochs", "2"});
    return test::run(command(more), folder.path());
  }

  std::ptrdiff_t count_files() const {
    return std::distance(
        test::fs::directory_iterator(folder.path()),
        test::fs::directory_iterator());
  }

  test::TemporaryFolder folder;
  std::string file = (folder / "supernet.pt").string();
  std::string bytes;
};

}  // namespace

TEST_CASE(
    "program: derives a path of a supernet and trains it alone",
    "[cifar10][slow]") {
  const TrainedSupernet supernet;
  const auto form = GENERATE(as<std::string>(), "slots", "dense");
  const auto file = (supernet.folder / "path.pt").string();
  const auto metrics = (supernet.folder / "m.jsonl").string();
  const Words flags{
      "--path",
      "paths=b",
      "--derive",
      supernet.file,
      "--form",
      form,
      "--checkpoint",
      file,
      "--metrics",
      metrics};
  const auto run = supernet.program(flags);
  INFO(run.out << run.err);
  REQUIRE(run.status == 0);
  CHECK(run.err.empty());
  // 5 x 5 kernels, 3 -> 6 -> 16; 400 -> 120 -> 84 -> 10.
  CHECK_THAT(
      run.out,
      ContainsSubstring(
          "Net: the path paths=b alone, of width 1, 62006 parameters, "
          "zero-fill, " +
          form + ", on cpu, 1 thread.\nIts first weights: those it has in " +
          supernet.file + ".\n"));
  CHECK(std::regex_search(
      run.out,
      std::regex("\nepoch 1/2: loss [^\n]* ms a step, test [0-9.]+ %\n")));
  CHECK_THAT(run.out, ContainsSubstring("\ntest accuracy, %  paths=b\n"));
  CHECK(read_file(supernet.file) == supernet.bytes);

  const auto events = read_events(metrics);
  const auto& start = events.at(0);
  CHECK(start.at("settings").at("--path") == "paths=b");
  CHECK(start.at("settings").at("first weights") == "inherited");
  CHECK(start.at("supernet").at("file") == supernet.file);
  const auto sum = start.at("supernet").at("checksum").get<std::string>();
  CHECK_THAT(supernet.bytes, ContainsSubstring(sum));
  CHECK(start.at("parameters") == 62006);
  CHECK(check_whole_metrics(metrics, 2, /*paths=*/1) == 1);
  CHECK(events.back().at("accuracy").size() == 1);
  CHECK(events.back().at("accuracy").contains("paths=b"));

  // There is nothing left to train, and no supernet is needed.
  test::fs::rename(supernet.file, supernet.folder / "moved.pt");
  auto again = flags;
  again.emplace_back("--resume");
  const auto resumed = supernet.program(again);
  INFO(resumed.err);
  CHECK(resumed.status == 0);
  CHECK_THAT(
      resumed.out,
      ContainsSubstring("\nResumed from " + file) &&
          !ContainsSubstring(supernet.file));
  for (const auto& event : read_events(metrics)) {
    CHECK((event == start || !event.contains("supernet")));
  }
  CHECK(check_whole_metrics(metrics, 2, /*paths=*/1) == 2);
}

TEST_CASE(
    "program: a path alone, stopped and resumed, ends with the same bits",
    "[cifar10][slow]") {
  const TrainedSupernet supernet;
  const auto inherits = GENERATE(false, true);
  const auto whole_file = (supernet.folder / "whole.pt").string();
  const auto file = (supernet.folder / "run.pt").string();
  const auto metrics = (supernet.folder / "m.jsonl").string();
  Words flags{"--epochs", "12", "--path", "paths=c"};
  if (inherits) {
    flags.insert(flags.end(), {"--derive", supernet.file});
  }
  const auto command = [&](const Words& more) {
    auto all = flags;
    all.insert(all.end(), more.begin(), more.end());
    return TrainedSupernet::command(all, "480");
  };
  const auto whole =
      test::run(command({"--checkpoint", whole_file}), supernet.folder.path());
  REQUIRE(whole.status == 0);

  test::Process process(
      command({"--checkpoint", file, "--metrics", metrics}),
      supernet.folder.path());
  REQUIRE(process.wait_for("epoch  1/12"));
  process.interrupt();
  const auto stopped = process.wait();
  INFO(stopped.out << stopped.err);
  CHECK(stopped.status == 130);
  CHECK_THAT(
      stopped.out,
      ContainsSubstring(" --path paths=c ") && EndsWith(" --resume\n"));

  const auto resumed = test::run(
      command({"--checkpoint", file, "--metrics", metrics, "--resume"}),
      supernet.folder.path());
  INFO(resumed.out << resumed.err);
  REQUIRE(resumed.status == 0);
  check_same_tensors(whole_file, file, /*weights=*/10);
  CHECK(check_whole_metrics(metrics, 12, /*paths=*/1) == 2);
}

TEST_CASE(
    "program: what is no path or no supernet of it is one line on stderr, "
    "before anything is written",
    "[cifar10][error]") {
  const TrainedSupernet supernet;
  const auto files = supernet.count_files();
  const auto refused = [&](const Words& flags) {
    auto words = flags;
    for (const auto* more :
         {"--checkpoint", "run.pt", "--metrics", "m.jsonl"}) {
      words.emplace_back(
          std::string(more).starts_with("-")
              ? more
              : (supernet.folder / more).string());
    }
    const auto run = supernet.program(words);
    CHECK(run.status == 1);
    CHECK(run.out.empty());
    CHECK(std::count(run.err.begin(), run.err.end(), '\n') == 1);
    CHECK(supernet.count_files() == files);
    CHECK(read_file(supernet.file) == supernet.bytes);
    return run.err;
  };
  CHECK(
      refused({"--path", "paths=d"}) ==
      "cifar10: --path: PathSpace::parse: expected one of ('a', 'b', 'c') for "
      "gate 'paths', got 'd'\n");
  CHECK(
      refused(
          {"--path", "paths=b", "--derive", supernet.file, "--width", "2"}) ==
      "cifar10: --derive: checkpoint '" + supernet.file +
          "' is of another net: expected --width 2, got 1\n");
  CHECK_THAT(
      refused({"--path", "paths=b", "--derive", supernet.file + "x"}),
      StartsWith("cifar10: --derive: checkpoint '") &&
          EndsWith("got no such file\n"));
}

}  // namespace cifar10
