// SPDX-License-Identifier: MIT
// The program where something is wrong: what stays, what it says and returns.
#include "metrics.hpp"
#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/process.hpp"

#include <algorithm>
#include <cstddef>

namespace cifar10 {

namespace test = gatedpaths::test;
namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Matches;
using Catch::Matchers::StartsWith;
using test::read_file;

using Words = std::vector<std::string>;

Words short_run(const Words& flags) {
  Words words{CIFAR10_PROGRAM, "--batch-size", "16", "--limit", "64"};
  words.insert(words.end(), flags.begin(), flags.end());
  return words;
}

/// With /dev/full for its standard output. (To read that back would not end.)
test::Finished run_into_full(
    const Words& command, const test::TemporaryFolder& folder) {
  Words words{"sh", "-c", "exec \"$0\" \"$@\" >/dev/full"};
  words.insert(words.end(), command.begin(), command.end());
  return test::run(words, folder.path());
}

}  // namespace

TEST_CASE(
    "program: a loss that is not finite ends it, and the checkpoint stays",
    "[cifar10][error]") {
  const test::TemporaryFolder folder;
  const Words files{
      "--epochs",
      "1",
      "--checkpoint",
      (folder / "run.pt").string(),
      "--metrics",
      (folder / "m.jsonl").string()};
  REQUIRE(test::run(short_run(files), folder.path()).status == 0);
  const auto good = read_file(folder / "run.pt");

  auto diverging = short_run(files);
  diverging.insert(diverging.end(), {"--lr", "1e30", "--overwrite"});
  const auto run = test::run(diverging, folder.path());
  CHECK(run.status == 1);
  CHECK_THAT(
      run.err,
      Matches("cifar10: epoch 1, step 2: expected a finite loss, got (nan|inf) "
              "\\(a smaller --lr may help\\)\n"));
  CHECK(read_file(folder / "run.pt") == good);
  const auto metrics = read_file(folder / "m.jsonl");
  CHECK_THAT(metrics, StartsWith("{\"event\":\"start\","));
  CHECK(std::count(metrics.begin(), metrics.end(), '\n') == 1);
}

TEST_CASE(
    "program: standard output that cannot be written is no success",
    "[cifar10][error]") {
  if (!test::fs::exists("/dev/full")) {
    SKIP("no /dev/full here");
  }
  const test::TemporaryFolder folder;
  const std::string message =
      "cifar10: cannot write the output: No space left on device\n";
  SECTION("of the help") {
    const auto run = run_into_full({CIFAR10_PROGRAM, "--help"}, folder);
    CHECK(run.status == 1);
    CHECK(run.err == message);
  }
  SECTION("of a run, whose checkpoint and metrics are written all the same") {
    const auto run = run_into_full(
        short_run(
            {"--epochs",
             "1",
             "--checkpoint",
             (folder / "run.pt").string(),
             "--metrics",
             (folder / "m.jsonl").string()}),
        folder);
    CHECK(run.status == 1);
    CHECK(run.err == message);
    CHECK(test::fs::exists(folder / "run.pt"));
    CHECK_THAT(
        read_file(folder / "m.jsonl"), ContainsSubstring("{\"event\":\"end\""));
  }
}

TEST_CASE(
    "program: a disk that gets full leaves the last checkpoint",
    "[cifar10][error][slow]") {
  const test::TemporaryFolder folder;
  const auto run_with = [&](const Words& more, const char* shell_words) {
    Words words{"sh", "-c", shell_words};
    const auto program = short_run(
        {"--epochs", "2", "--checkpoint", (folder / "run.pt").string()});
    words.insert(words.end(), program.begin(), program.end());
    words.insert(words.end(), more.begin(), more.end());
    return test::run(words, folder.path());
  };
  REQUIRE(run_with({}, "exec \"$0\" \"$@\"").status == 0);
  const auto good = read_file(folder / "run.pt");
  // Files of 51,200 bytes at most, of which a shell can be told.
  const auto run = run_with(
      {"--overwrite"}, "trap '' XFSZ; ulimit -f 100; exec \"$0\" \"$@\"");
  CHECK(run.status == 1);
  CHECK(
      run.err == "cifar10: save_atomically: cannot write '" +
                     (folder / "run.pt").string() + "': File too large\n");
  CHECK(read_file(folder / "run.pt") == good);
  std::ptrdiff_t files = 0;
  for (const auto& entry : test::fs::directory_iterator(folder.path())) {
    CAPTURE(entry.path());
    ++files;
  }
  CHECK(files == 3);  // with what it printed
}

TEST_CASE(
    "program: an empty name, one name for two files and too many threads are "
    "exit status 2",
    "[cifar10][error]") {
  const test::TemporaryFolder folder;
  const auto file = (folder / "run").string();
  const auto flags = GENERATE_COPY(
      Words{"--checkpoint", ""},
      Words{"--checkpoint", file, "--metrics", file},
      Words{"--threads", "100000"});
  const auto run = test::run(short_run(flags), folder.path());
  CHECK(run.status == 2);
  CHECK(run.out.empty());
  CHECK_THAT(run.err, StartsWith("cifar10: --"));
  CHECK_FALSE(test::fs::exists(file));
}

}  // namespace cifar10
