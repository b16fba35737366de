// SPDX-License-Identifier: MIT
// The program beside what an earlier run has left.
#include "metrics.hpp"
#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/process.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

namespace cifar10 {

namespace test = gatedpaths::test;
namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using test::read_file;

using Words = std::vector<std::string>;

/// Two short runs, and their files.
struct OldRuns {
  OldRuns() {
    REQUIRE(run("a", {}).status == 0);
    REQUIRE(run("b", {"--seed", "5"}).status == 0);
    checkpoint = read_file(folder / "a.pt");
    metrics = read_file(folder / "a.jsonl");
  }

  Words command(const std::string& name, const Words& more) const {
    Words words{
        CIFAR10_PROGRAM,
        "--batch-size",
        "16",
        "--limit",
        "64",
        "--epochs",
        "2",
        "--checkpoint",
        (folder / (name + ".pt")).string(),
        "--metrics",
        (folder / (name + ".jsonl")).string()};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  test::Finished run(const std::string& name, const Words& more) const {
    return test::run(command(name, more), folder.path());
  }

  void check_untouched() const {
    CHECK(read_file(folder / "a.pt") == checkpoint);
    CHECK(read_file(folder / "a.jsonl") == metrics);
  }

  test::TemporaryFolder folder;
  std::string checkpoint;
  std::string metrics;
};

}  // namespace

TEST_CASE(
    "program: what an earlier run left is only replaced if told",
    "[cifar10][error]") {
  const OldRuns old;
  const auto refused = [&](const Words& words) {
    const auto run = test::run(words, old.folder.path());
    CHECK(run.status == 1);
    CHECK(run.out.empty());
    CHECK(std::count(run.err.begin(), run.err.end(), '\n') == 1);
    old.check_untouched();
    return run.err;
  };
  const auto checkpoint = (old.folder / "a.pt").string();
  const auto metrics = (old.folder / "a.jsonl").string();
  CHECK(
      refused(old.command("a", {})) ==
      "cifar10: --checkpoint: expected the name of a new file, got '" +
          checkpoint +
          "', which is there already; add --resume to go on with the run in "
          "it, or --overwrite to replace it\n");
  // The command of the examples' README, twice.
  CHECK(
      refused({CIFAR10_PROGRAM, "--epochs", "10", "--metrics", metrics}) ==
      "cifar10: --metrics: expected the name of a new file, got '" + metrics +
          "', which is there already; add --overwrite to replace it, or "
          "--resume (with --checkpoint) to go on with its run\n");
  CHECK_THAT(
      refused({CIFAR10_PROGRAM, "--checkpoint", metrics}),
      StartsWith("cifar10: --checkpoint: expected the name of a new file"));

  const auto replaced = old.run("a", {"--seed", "9", "--overwrite"});
  CHECK(replaced.status == 0);
  CHECK(read_file(checkpoint) != old.checkpoint);
  const auto events = read_file(metrics);
  CHECK_THAT(events, ContainsSubstring("\"--seed\":9"));
  CHECK_THAT(events, !ContainsSubstring("\"--seed\":0"));
}

TEST_CASE("program: empty files are no earlier run", "[cifar10]") {
  const test::TemporaryFolder folder;
  const auto file = [&](const char* name) {
    test::write_file(folder / name, std::string());
    return (folder / name).string();
  };
  const auto run = test::run(
      {CIFAR10_PROGRAM,
       "--limit",
       "64",
       "--epochs",
       "1",
       "--checkpoint",
       file("run.pt"),
       "--metrics",
       file("m.jsonl")},
      folder.path());
  INFO(run.err);
  CHECK(run.status == 0);
}

TEST_CASE(
    "program: metrics of another run are not gone on in", "[cifar10][error]") {
  const OldRuns old;
  const auto other = read_file(old.folder / "b.jsonl");
  auto words = old.command("a", {"--resume"});
  SECTION("of another run") { words[10] = (old.folder / "b.jsonl").string(); }
  SECTION("of no run") {
    words[10] = (old.folder / "letter").string();
    test::write_file(words[10], std::string("Dear reader\n"));
  }
  SECTION("of a run that has replaced the file since") {
    // With equal settings; killed before it saved anything.
    const auto again = test::run(
        {CIFAR10_PROGRAM,
         "--batch-size",
         "16",
         "--limit",
         "64",
         "--epochs",
         "2",
         "--metrics",
         (old.folder / "c.jsonl").string()},
        old.folder.path());
    REQUIRE(again.status == 0);
    words[10] = (old.folder / "c.jsonl").string();
  }
  const auto before = read_file(words[10]);
  const auto run = test::run(words, old.folder.path());
  CHECK(run.status == 1);
  CHECK_THAT(run.err, StartsWith("cifar10: metrics: expected "));
  CHECK(read_file(words[10]) == before);
  CHECK(read_file(old.folder / "b.jsonl") == other);
  old.check_untouched();
  CHECK(old.run("a", {"--resume"}).status == 0);
}

TEST_CASE(
    "program: a run that was stopped goes on without --overwrite",
    "[cifar10][slow]") {
  const test::TemporaryFolder folder;
  const auto file = (folder / "run.pt").string();
  test::write_file(file, std::string("old"));
  test::Process process(
      {CIFAR10_PROGRAM,
       "--batch-size",
       "16",
       "--limit",
       "480",
       "--epochs",
       "99",
       "--overwrite",
       "--checkpoint",
       file},
      folder.path());
  REQUIRE(process.wait_for("epoch  1/99"));
  process.interrupt();
  const auto stopped = process.wait();
  CHECK(stopped.status == 130);
  const auto at = stopped.out.find("Go on with:\n  ");
  REQUIRE(at != std::string::npos);
  CHECK(
      stopped.out.substr(at + 14) ==
      fmt::format(
          "{} --batch-size 16 --limit 480 --epochs 99 --checkpoint {} "
          "--resume\n",
          CIFAR10_PROGRAM,
          file));
}

}  // namespace cifar10
