// SPDX-License-Identifier: MIT
// The program from outside: what it prints, writes and returns.
#include "saved_run.hpp"
#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/process.hpp"

#include <algorithm>

namespace cifar10 {

namespace test = gatedpaths::test;
namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;
using test::read_file;

// Set by CMake.
constexpr auto kProgram = CIFAR10_PROGRAM;
constexpr auto kPython = CIFAR10_PYTHON;
constexpr auto kPlotScript = CIFAR10_PLOT_SCRIPT;

using Words = std::vector<std::string>;

Words command(const Words& flags) {
  Words words{kProgram, "--batch-size", "16"};
  words.insert(words.end(), flags.begin(), flags.end());
  return words;
}

Words with(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

}  // namespace

TEST_CASE("program: trains, tests, and reports", "[cifar10][slow]") {
  const test::TemporaryFolder folder;
  const auto run = test::run(
      command(
          {"--epochs",
           "2",
           "--limit",
           "64",
           "--metrics",
           (folder / "m.jsonl").string()}),
      folder.path());
  INFO(run.err);
  REQUIRE(run.status == 0);
  CHECK(run.err.empty());

  SECTION("in plain lines where there is no terminal") {
    CHECK_THAT(
        run.out,
        StartsWith("No CIFAR-10 here: training on a generated "
                   "stand-in"));
    CHECK_THAT(run.out, ContainsSubstring("--download"));
    CHECK_THAT(run.out, ContainsSubstring(" parameters, zero-fill, slots, on"));
    CHECK_THAT(run.out, ContainsSubstring("\nepoch 1/2: loss "));
    CHECK_THAT(run.out, ContainsSubstring("\nepoch 2/2: loss "));
    CHECK_THAT(run.out, ContainsSubstring("\ntest accuracy, %  "));
    CHECK_THAT(run.out, ContainsSubstring("\nall classes  "));
    CHECK_THAT(run.out, ContainsSubstring(" ms a step (8 steps in "));
    CHECK_THAT(run.out, !ContainsSubstring("\r"));
  }
  SECTION("with an event a line in the metrics") {
    const auto events = read_events(folder / "m.jsonl");
    std::vector<std::string> names;
    for (const auto& event : events) {
      names.push_back(event.at("event"));
    }
    CHECK(
        names ==
        Words{
            "start", "epoch", "test", "test", "epoch", "test", "test", "end"});

    CHECK(events[0].at("settings").at("--epochs") == 2);
    CHECK(events[0].at("data") == "a generated stand-in");
    CHECK(events[0].at("form") == "slots");
    CHECK(events[1].at("epoch") == 1);
    CHECK(events[1].at("steps") == 4);
    for (const auto* key : {"loss", "lr", "seconds", "ms_per_step"}) {
      CHECK(events[1].at(key).is_number());
    }
    for (const auto i : {2U, 3U, 5U, 6U}) {
      const auto& test = events[i];
      CHECK(test.at("path").is_string());
      CHECK(test.at("accuracy") >= 0.0);
      CHECK(test.at("accuracy") <= 1.0);
      CHECK(test.at("classes").size() == 10);
    }
    CHECK(events[2].at("path") != events[3].at("path"));
    CHECK(events[7].at("step") == 8);
    CHECK(
        events[7].at("accuracy").at(events[6].at("path").get<std::string>()) ==
        events[6].at("accuracy"));
  }
  SECTION("of which the plot is drawn") {
    if (std::string(kPython).empty()) {
      SKIP("no Python here");
    }
    const auto plot = test::run(
        {kPython,
         kPlotScript,
         (folder / "m.jsonl").string(),
         (folder / "plot.png").string()},
        folder.path());
    if (plot.status == 0) {
      CHECK_THAT(read_file(folder / "plot.png"), StartsWith("\x89PNG"));
    } else {
      CHECK_THAT(plot.err, StartsWith("plot_metrics: expected matplotlib"));
    }
  }
}

TEST_CASE(
    "program: stopped by Ctrl-C and resumed, it ends with the same bits",
    "[cifar10][slow]") {
  const test::TemporaryFolder folder;
  const auto flags = command({"--epochs", "12", "--limit", "480"});
  const auto whole_file = (folder / "whole.pt").string();
  const auto file = (folder / "run.pt").string();
  const auto metrics = (folder / "m.jsonl").string();
  const auto saving = with(flags, {"--checkpoint", file, "--metrics", metrics});
  const auto whole =
      test::run(with(flags, {"--checkpoint", whole_file}), folder.path());
  REQUIRE(whole.status == 0);

  test::Process process(saving, folder.path());
  REQUIRE(process.wait_for("epoch  1/12"));
  process.interrupt();
  const auto stopped = process.wait();
  INFO(stopped.out << stopped.err);
  CHECK(stopped.status == 130);
  CHECK_THAT(stopped.out, ContainsSubstring("\nStopped at step "));
  CHECK_THAT(
      stopped.out,
      ContainsSubstring("Saved in " + file + ". Go on with:\n  ") &&
          EndsWith(" --resume\n"));

  const auto resumed = test::run(with(saving, {"--resume"}), folder.path());
  INFO(resumed.out << resumed.err);
  REQUIRE(resumed.status == 0);
  CHECK_THAT(resumed.out, ContainsSubstring("\nResumed from " + file));
  check_same_tensors(whole_file, file);

  CHECK(check_whole_metrics(metrics, 12) == 2);

  // Once more: there is nothing left to train, and nothing is written twice.
  const auto again = test::run(with(saving, {"--resume"}), folder.path());
  CHECK(again.status == 0);
  CHECK_THAT(again.out, ContainsSubstring("\nall classes  "));
  int tests = 0;
  for (const auto& event : read_events(metrics)) {
    tests += event.at("event") == "test" ? 1 : 0;
  }
  CHECK(tests == 24);
  check_same_tensors(whole_file, file);
}

TEST_CASE(
    "program: either form goes on from the other's checkpoint",
    "[cifar10][slow]") {
  const test::TemporaryFolder folder;
  const Words forms{"slots", "dense"};
  const auto first = GENERATE(0U, 1U);
  const auto train = [&](unsigned form, const Words& more) {
    const auto run = test::run(
        with(
            command(
                {"--epochs",
                 "2",
                 "--limit",
                 "64",
                 "--form",
                 forms[form],
                 "--checkpoint",
                 (folder / "run.pt").string(),
                 "--metrics",
                 (folder / "m.jsonl").string()}),
            more),
        folder.path());
    INFO(run.out << run.err);
    CHECK(run.status == 0);
    CHECK_THAT(
        run.out, ContainsSubstring(", zero-fill, " + forms[form] + ", on cpu"));
    return read_events(folder / "m.jsonl");
  };
  const auto before = train(first, {});
  test::fs::copy_file(folder / "run.pt", folder / "before.pt");
  const auto after = train(1U - first, {"--resume"});
  CHECK(after.back().at("event") == "end");
  CHECK(after.back().at("accuracy") == before.back().at("accuracy"));
  check_same_tensors(folder / "before.pt", folder / "run.pt");
}

TEST_CASE(
    "program: stopped without a checkpoint, it says so", "[cifar10][slow]") {
  const test::TemporaryFolder folder;
  test::Process process(
      command({"--epochs", "99", "--limit", "480"}), folder.path());
  REQUIRE(process.wait_for("epoch  1/99"));
  process.interrupt();
  const auto stopped = process.wait();
  CHECK(stopped.status == 130);
  CHECK_THAT(
      stopped.out,
      EndsWith("Nothing was saved, since there was no --checkpoint.\n"));
}

TEST_CASE(
    "program: what it cannot do is one line on stderr", "[cifar10][error]") {
  const test::TemporaryFolder folder;
  const auto fails = [&](const Words& flags) {
    const auto run = test::run(command(flags), folder.path());
    CHECK(run.status == 1);
    CHECK(std::count(run.err.begin(), run.err.end(), '\n') == 1);
    return run.err;
  };
  CHECK_THAT(
      fails({"--metrics", (folder / "none" / "m").string()}),
      StartsWith(
          "cifar10: metrics: expected a file that can be written, got "));
  CHECK_THAT(
      fails({"--checkpoint", (folder / "none" / "c").string()}),
      StartsWith("cifar10: checkpoint '"));
  CHECK_THAT(
      fails({"--data", (folder / "none").string()}),
      StartsWith("cifar10: data: expected a folder with the CIFAR-10 binary "
                 "files, got '"));
  CHECK_THAT(
      fails({"--device", "cuda:99"}),
      StartsWith("cifar10: --device: expected cpu or one of the "));
  CHECK_THAT(
      fails(
          {"--limit",
           "9",
           "--resume",
           "--checkpoint",
           (folder / "c").string()}),
      EndsWith("got no such file\n"));
}

TEST_CASE("program: an unusable flag is exit status 2", "[cifar10][error]") {
  const test::TemporaryFolder folder;
  const auto run = test::run({kProgram, "--epochs", "0"}, folder.path());
  CHECK(run.status == 2);
  CHECK(
      run.err ==
      "cifar10: --epochs: expected a whole number of at least 1, got '0'\n"
      "Run with --help for more information.\n");
}

TEST_CASE("plot: a file that is no metrics is refused", "[cifar10][error]") {
  if (std::string(kPython).empty()) {
    SKIP("no Python here");
  }
  const test::TemporaryFolder folder;
  const auto plot = [&](const std::string& text) {
    test::write_file(folder / "m", text);
    const auto run = test::run(
        {kPython,
         kPlotScript,
         (folder / "m").string(),
         (folder / "plot.png").string()},
        folder.path());
    CHECK(run.status == 1);
    return run.err;
  };
  CHECK_THAT(
      plot("{\"event\": \"start\"}\nnonsense\n"),
      EndsWith("m, line 2: expected a JSON object with an \"event\", got "
               "'nonsense'\n"));
  CHECK_THAT(
      plot("{\"event\": \"start\"}\n"),
      EndsWith("m: expected at least one epoch, got none\n"));
}

}  // namespace cifar10
