// SPDX-License-Identifier: MIT
// Several runs of the program at once on the same files.
#include "saved_run.hpp"
#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/process.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace cifar10 {

namespace test = gatedpaths::test;
namespace {

namespace fs = test::fs;

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::Matches;
using Catch::Matchers::StartsWith;
using Words = std::vector<std::string>;

/// A run that goes on until it is stopped, and its files.
class LongRun {
 public:
  LongRun() { fs::create_directory(folder_ / "files"); }

  fs::path file(const std::string& name) const {
    return folder_ / "files" / name;
  }

  Words command(
      const fs::path& checkpoint,
      const fs::path& metrics,
      const Words& more = {}) const {
    Words words{
        CIFAR10_PROGRAM,
        "--batch-size",
        "16",
        "--limit",
        "480",
        "--epochs",
        "99",
        "--checkpoint",
        checkpoint.string(),
        "--metrics",
        metrics.string()};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  Words own_command(const Words& more = {}) const {
    return command(file("run.pt"), file("run.jsonl"), more);
  }

  /// A folder for what a process prints.
  fs::path output(const std::string& name) const {
    fs::create_directories(folder_ / name);
    return folder_ / name;
  }

  std::map<std::string, std::string> contents() const {
    std::map<std::string, std::string> contents;
    for (const auto& entry : fs::directory_iterator(folder_ / "files")) {
      contents[entry.path().filename().string()] =
          fs::is_symlink(entry) || fs::is_directory(entry)
              ? fs::read_symlink(entry).string()
              : test::read_file(entry.path());
    }
    return contents;
  }

  void remove_files() const { fs::remove_all(folder_ / "files"); }

 private:
  test::TemporaryFolder folder_;
};

std::string refusal(
    const char* flag, const fs::path& file, const test::Process& first) {
  return std::string("cifar10: ") + flag +
         ": expected a file that no other run writes, got '" + file.string() +
         "', which process " + std::to_string(first.id()) +
         " writes; wait until that ends or stop it, or name another file\n";
}

}  // namespace

TEST_CASE(
    "program: a second run is kept from the files of one under way",
    "[cifar10][slow]") {
  const LongRun runs;
  fs::create_symlink("run.pt", runs.file("link.pt"));
  fs::create_directory_symlink(runs.file(""), runs.file("again"));
  test::Process first(runs.own_command(), runs.output("first"));
  REQUIRE(first.wait_for("epoch  2/99"));  // the first one is saved
  first.stop();
  const auto before = runs.contents();
  REQUIRE(before.contains("run.pt"));

  const auto refused = [&](const Words& command) {
    const auto second = test::run(command, runs.output("second"));
    CHECK(second.status == 1);
    CHECK(second.out.empty());
    CHECK(runs.contents() == before);
    return second.err;
  };
  const auto checkpoint = runs.file("run.pt");
  const auto message = refusal("--checkpoint", checkpoint, first);
  CHECK(refused(runs.own_command()) == message);
  CHECK(refused(runs.own_command({"--resume"})) == message);
  CHECK(refused(runs.own_command({"--overwrite"})) == message);
  for (const auto* name : {"link.pt", "again/run.pt"}) {
    CHECK(
        refused(
            runs.command(runs.file(name), runs.file("b"), {"--overwrite"})) ==
        refusal("--checkpoint", runs.file(name), first));
  }
  CHECK(
      refused(runs.command(
          runs.file("b.pt"), runs.file("run.jsonl"), {"--overwrite"})) ==
      refusal("--metrics", runs.file("run.jsonl"), first));

  first.send(SIGCONT);
  first.interrupt();
  CHECK(first.wait().status == 130);
  auto after = runs.contents();
  CHECK(after.size() == 4);  // two files, two links, no lock
  fs::remove(runs.file("again"));

  // A killed run holds nobody up.
  test::Process killed(runs.own_command({"--resume"}), runs.output("first"));
  REQUIRE(killed.wait_for("Resumed from"));
  killed.send(SIGKILL);
  killed.wait();
  CHECK(runs.contents().size() > 3);  // its locks
  test::Process last(runs.own_command({"--resume"}), runs.output("second"));
  CHECK(last.wait_for("Resumed from"));
  last.interrupt();
  CHECK(last.wait().status == 130);
  CHECK(runs.contents().size() == 3);
}

TEST_CASE("program: of runs started at once, one goes on", "[cifar10][slow]") {
  const LongRun runs;
  std::vector<std::unique_ptr<test::Process>> processes;
  for (int i = 0; i < 4; ++i) {
    processes.push_back(std::make_unique<test::Process>(
        runs.own_command({"--overwrite"}), runs.output(std::to_string(i))));
  }
  const test::Process* going_on = nullptr;
  std::vector<std::string> errors;
  for (const auto& process : processes) {
    if (process->wait_for("epoch  1/99")) {
      CHECK(going_on == nullptr);
      going_on = process.get();
      process->interrupt();
      CHECK(process->wait().status == 130);
    } else {
      const auto other = process->wait();
      CHECK(other.status == 1);
      CHECK(other.out.empty());
      errors.push_back(other.err);
    }
  }
  REQUIRE(going_on != nullptr);
  CHECK(
      errors ==
      std::vector<std::string>(
          3, refusal("--checkpoint", runs.file("run.pt"), *going_on)));
  CHECK(runs.contents().size() == 2);
}

TEST_CASE(
    "program: a checkpoint's folder that has vanished is an error",
    "[cifar10][error][slow]") {
  const LongRun runs;
  SECTION("while the run goes on") {
    test::Process process(runs.own_command(), runs.output("first"));
    REQUIRE(process.wait_for("epoch  1/99"));
    runs.remove_files();
    const auto ended = process.wait();
    CHECK(ended.status == 1);
    // The second where it vanishes while it is saved.
    CHECK_THAT(
        ended.err,
        Matches("cifar10: (--checkpoint: expected a folder where files can be "
                "made, got|save_atomically: cannot [^']*) '[^']*/files[^']*': "
                "No such file or directory\n"));
  }
  SECTION("before it, behind a link") {
    fs::create_symlink(runs.file("gone") / "run.pt", runs.file("link.pt"));
    const auto run = test::run(
        runs.command(runs.file("link.pt"), runs.file("m")),
        runs.output("first"));
    CHECK(run.status == 1);
    CHECK(
        run.err == "cifar10: checkpoint '" + runs.file("link.pt").string() +
                       "': expected a folder that can be written, got '" +
                       fs::weakly_canonical(runs.file("gone")).string() +
                       "': No such file or directory\n");
    CHECK_FALSE(fs::exists(runs.file("m")));
  }
}

TEST_CASE(
    "program: a folder that cannot be written is an error at the start",
    "[cifar10][error]") {
  const LongRun runs;
  // Root may write everywhere, but for folders that are no real ones.
  const fs::path folder = ::geteuid() == 0 ? "/proc/self" : runs.file("");
  fs::permissions(runs.file(""), fs::perms::owner_read | fs::perms::owner_exec);
  const auto run = test::run(
      runs.command(folder / "run.pt", runs.file("m"), {"--overwrite"}),
      runs.output("first"));
  fs::permissions(runs.file(""), fs::perms::owner_all);
  CHECK(run.status == 1);
  CHECK(run.out.empty());
  CHECK_THAT(
      run.err,
      StartsWith("cifar10: ") && ContainsSubstring("heckpoint") &&
          ContainsSubstring(": expected a folder ") && EndsWith("\n"));
}

TEST_CASE(
    "program: metrics in a folder without room for a lock are written",
    "[cifar10]") {
  const test::TemporaryFolder folder;
  const auto run = test::run(
      {CIFAR10_PROGRAM,
       "--limit",
       "16",
       "--epochs",
       "1",
       "--metrics",
       "/dev/null"},
      folder.path());
  CHECK(run.err.empty());
  CHECK(run.status == 0);
}

}  // namespace cifar10
