// SPDX-License-Identifier: MIT
// The program killed at any moment, by what it cannot notice.
#include "saved_run.hpp"
#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/process.hpp"

#include <torch/types.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace cifar10 {

namespace test = gatedpaths::test;
namespace {

using Words = std::vector<std::string>;
using Seconds = std::chrono::duration<double>;

constexpr int kEpochs = 40;

/// How often to kill: a few times, as far as every change is concerned.
int kills_wanted() {
  const char* text = std::getenv("GATEDPATHS_TEST_KILLS");
  return text == nullptr ? 4 : std::atoi(text);
}

struct KilledRun {
  /// Short epochs: a good part of the time goes into saving.
  Words command(const std::string& name) const {
    return {
        CIFAR10_PROGRAM,
        "--batch-size",
        "16",
        "--limit",
        "64",
        "--epochs",
        std::to_string(kEpochs),
        "--checkpoint",
        (folder / (name + ".pt")).string(),
        "--metrics",
        (folder / (name + ".jsonl")).string()};
  }

  /// As who was told what to add; a run that has saved nothing begins anew.
  Words next_command() const {
    auto words = command("run");
    words.emplace_back(
        test::fs::exists(folder / "run.pt") ? "--resume" : "--overwrite");
    return words;
  }

  void check_result() const {
    check_same_tensors(folder / "whole.pt", folder / "run.pt");
    check_whole_metrics(folder / "run.jsonl", kEpochs);
    std::set<std::string> names;
    for (const auto& entry : test::fs::directory_iterator(folder.path())) {
      names.insert(entry.path().filename().string());
    }
    CHECK(
        names == std::set<std::string>{
                     "run.jsonl",
                     "run.pt",
                     "stderr",
                     "stdout",
                     "whole.jsonl",
                     "whole.pt"});
  }

  test::TemporaryFolder folder;
};

}  // namespace

TEST_CASE(
    "program: killed at random moments and resumed, it ends with the same bits",
    "[cifar10][slow]") {
  const KilledRun run;
  const auto start = std::chrono::steady_clock::now();
  REQUIRE(test::run(run.command("whole"), run.folder.path()).status == 0);
  const Seconds whole = std::chrono::steady_clock::now() - start;

  int kills = 0;
  int ends = 0;
  while (kills < kills_wanted()) {
    // From LibTorch's stream, whose seed a failure prints. At most two thirds
    // of the time of a run, so that it is killed in its end as well.
    const Seconds until_kill =
        whole * torch::rand({}, torch::kDouble).item<double>() / 1.5;
    CAPTURE(kills, ends, until_kill.count());
    test::Process process(run.next_command(), run.folder.path());
    std::this_thread::sleep_for(until_kill);
    process.send(SIGKILL);
    const auto killed = process.wait();
    INFO(killed.out << killed.err);
    if (killed.status == 0) {  // it was faster
      ++ends;
      run.check_result();
      test::fs::remove(run.folder / "run.pt");
      continue;
    }
    ++kills;
    REQUIRE(killed.status == 128 + SIGKILL);
    CHECK(killed.err.empty());
  }
  const auto last = test::run(run.next_command(), run.folder.path());
  INFO(last.out << last.err);
  REQUIRE(last.status == 0);
  run.check_result();
}

}  // namespace cifar10
