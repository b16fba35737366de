// SPDX-License-Identifier: MIT
// The whole cycle from outside.
#include "nas_bench_macro/scores.hpp"
#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/process.hpp"

#include <torch/types.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace nas_bench_macro {

namespace test = gatedpaths::test;
namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using Words = std::vector<std::string>;

/// A run of a second or two: images of 8 x 8 pixels, some of the paths. `more`
/// has flags, each with a value but for the last, in the place of these.
Words command(const test::fs::path& out, const Words& more = {}) {
  std::map<std::string, std::string> flags = {
      {"--limit", "600"},
      {"--side", "8"},
      {"--epochs", "2"},
      {"--rank", "60"},
      {"--evaluations", "40"},
      {"--held-out", "40"},
      {"--recalibrate", "16"},
      {"--threads", "1"},
      {"--out", out.string()}};
  Words words = {NAS_BENCH_MACRO_PROGRAM};
  for (std::size_t i = 0; i < more.size(); i += 2) {
    if (i + 1 < more.size()) {
      flags[more[i]] = more[i + 1];
    } else {
      words.push_back(more[i]);
    }
  }
  for (const auto& [flag, value] : flags) {
    words.push_back(flag);
    words.push_back(value);
  }
  return words;
}

/// What a run leaves, but for times.
void check_same_results(const test::fs::path& a, const test::fs::path& b) {
  for (const auto* name :
       {"ranking.txt",
        "net.safetensors",
        "search_evolution_loss_within_50000000.jsonl"}) {
    CAPTURE(name);
    CHECK(!test::read_file(a / name).empty());
    CHECK(test::read_file(a / name) == test::read_file(b / name));
  }
}

}  // namespace

TEST_CASE(
    "nas_bench_macro: killed in any stage, the same command ends the same",
    "[slow]") {
  const test::TemporaryFolder folder;
  const auto start = std::chrono::steady_clock::now();
  const auto whole = test::run(command(folder / "whole"), folder.path());
  const std::chrono::duration<double> time =
      std::chrono::steady_clock::now() - start;
  INFO(whole.out << whole.err);
  REQUIRE(whole.status == 0);
  CHECK_THAT(whole.out, ContainsSubstring("This ranking means nothing."));
  CHECK(whole.err.empty());

  int kills = 0;
  for (int i = 0; i < 6; ++i) {
    test::Process process(command(folder / "killed"), folder.path());
    // Two by Ctrl-C, which saves; the others are as a loss of power.
    std::this_thread::sleep_for(
        time * torch::rand({}, torch::kDouble).item<double>());
    process.send(i % 3 == 2 ? SIGINT : SIGKILL);
    const auto ended = process.wait();
    INFO(ended.out << ended.err);
    kills += ended.status == 128 + SIGKILL ? 1 : 0;
    CHECK(
        (ended.status == 0 || ended.status == 128 + SIGKILL ||
         ended.status == 128 + SIGINT));
    CHECK(ended.err.empty());
  }
  CHECK(kills > 0);
  const auto last = test::run(command(folder / "killed"), folder.path());
  INFO(last.out << last.err);
  REQUIRE(last.status == 0);
  check_same_results(folder / "whole", folder / "killed");
}

TEST_CASE("nas_bench_macro: another run's results are not taken for its own") {
  const test::TemporaryFolder folder;
  const auto out = folder / "run";
  const auto first = test::run(command(out), folder.path());
  REQUIRE(first.status == 0);
  const auto other = test::run(command(out, {"--seed", "3"}), folder.path());
  CHECK(other.status == 1);
  CHECK_THAT(
      other.err, ContainsSubstring("is of another run: expected --seed 3"));
  test::fs::remove(out / "supernet.pt");
  const auto left = test::run(command(out), folder.path());
  CHECK(left.status == 1);
  CHECK_THAT(
      left.err,
      StartsWith("nas_bench_macro: --out: expected a folder without results of "
                 "another run, got '"));
  const auto anew = test::run(command(out, {"--overwrite"}), folder.path());
  CHECK(anew.status == 0);
  CHECK(test::fs::exists(out / "supernet.pt"));
}

TEST_CASE("nas_bench_macro: the kept run gives the report that is shown") {
  const test::TemporaryFolder folder;
  const test::fs::path kept = NAS_BENCH_MACRO_FOLDER;
  const auto out = folder / "report";
  const auto run = test::run(
      {NAS_BENCH_MACRO_PROGRAM,
       "--ranking",
       (kept / "default_run.txt").string(),
       "--out",
       out.string()},
      folder.path());
  CHECK(run.status == 0);
  CHECK(
      run.out == test::read_file(kept / "default_run.output") +
                     "Report and pictures: " + (out / "report.json").string() +
                     "\n");
  for (const auto* picture :
       {"supernet_against_table.svg", "accuracy_against_flops.svg"}) {
    CAPTURE(picture);
    CHECK(test::read_file(out / picture) == test::read_file(kept / picture));
  }
}

TEST_CASE("nas_bench_macro: no two runs in one folder") {
  const test::TemporaryFolder folder;
  const auto out = folder / "run";
  test::Process first(command(out, {"--epochs", "1000"}), folder.path());
  REQUIRE(first.wait_for("batch norm: "));
  test::fs::create_directory(folder / "second");
  const auto second = test::run(command(out), folder / "second");
  CHECK(second.status == 1);
  CHECK_THAT(second.err, StartsWith("nas_bench_macro: --out: expected "));
  CHECK_THAT(second.err, ContainsSubstring(std::to_string(first.id())));
  first.interrupt();
  const auto ended = first.wait();
  CHECK(ended.status == 128 + SIGINT);
  CHECK_THAT(ended.out, ContainsSubstring("Go on with:"));
}

TEST_CASE("nas_bench_macro: flags that cannot be used", "[error]") {
  const test::TemporaryFolder folder;
  const auto refusal = [&](const Words& flags) {
    const auto run = test::run(command(folder / "run", flags), folder.path());
    CHECK(run.status == 2);
    CHECK_FALSE(test::fs::exists(folder / "run"));
    return run.err;
  };
  CHECK_THAT(
      refusal({"--sampler", "best"}),
      ContainsSubstring("expected one of fair, uniform, sandwich, got 'best'"));
  CHECK_THAT(refusal({"--estimator", "darts"}), ContainsSubstring("two-path"));
  CHECK_THAT(refusal({"--strategy", ""}), ContainsSubstring("evolution"));
  CHECK_THAT(refusal({"--side", "12"}), ContainsSubstring("8, 16, 32"));
  CHECK_THAT(refusal({"--budget", "nan"}), ContainsSubstring("above 0"));
  CHECK_THAT(refusal({"--budget", "0"}), ContainsSubstring("above 0"));
  CHECK_THAT(refusal({"--rank", "19"}), ContainsSubstring("at least 20"));
  CHECK_THAT(refusal({"--held-out", "0"}), ContainsSubstring("at least 1"));
  CHECK_THAT(refusal({"--width", "-1"}), ContainsSubstring("above 0"));
}

TEST_CASE("nas_bench_macro: what the table says of a net") {
  const test::TemporaryFolder folder;
  const auto run = test::run(
      {NAS_BENCH_MACRO_PROGRAM, "--net", "12012201", "--budget", "50e6"},
      folder.path());
  CHECK(run.status == 0);
  CHECK(
      run.out ==
      "this net          12012201   1.47 M parameters   63.12 M FLOPs  91.46 % "
      " "
      "above the budget\n"
      "best in budget    21201200   0.90 M parameters   49.85 M FLOPs  92.17 % "
      " "
      "rank 1\n");
  const auto bad =
      test::run({NAS_BENCH_MACRO_PROGRAM, "--net", "1201220"}, folder.path());
  CHECK(bad.status == 1);
  CHECK(
      bad.err ==
      "nas_bench_macro: expected an architecture of 8 digits "
      "from 0 to 2, got '1201220'\n");
}

TEST_CASE("nas_bench_macro: a budget that leaves no path, or one") {
  const test::TemporaryFolder folder;
  const auto none =
      test::run(command(folder / "none", {"--budget", "7e6"}), folder.path());
  CHECK(none.status == 1);
  CHECK_THAT(none.err, ContainsSubstring("macs"));
  CHECK_FALSE(test::fs::exists(folder / "none" / "supernet.pt"));
  const auto one = test::run(
      command(folder / "one", {"--budget", "7713280"}), folder.path());
  INFO(one.out << one.err);
  CHECK(one.status == 0);
  CHECK_THAT(one.out, ContainsSubstring("Found: 00000000 of 1 paths"));
}

}  // namespace nas_bench_macro
