// SPDX-License-Identifier: MIT
#include "progress.hpp"

#include "support/catch.hpp"
#include "support/files.hpp"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

namespace cifar10 {

namespace test = gatedpaths::test;
namespace {

using Catch::Matchers::ContainsSubstring;

/// The environment's TERM, for a while.
class TerminalKind {
 public:
  explicit TerminalKind(const char* kind) {
    if (const char* old = std::getenv("TERM")) {
      old_ = old;
    }
    set(kind);
  }
  TerminalKind(const TerminalKind&) = delete;
  TerminalKind& operator=(const TerminalKind&) = delete;
  ~TerminalKind() { set(old_ ? old_->c_str() : nullptr); }

 private:
  static void set(const char* kind) {
    kind == nullptr ? ::unsetenv("TERM") : ::setenv("TERM", kind, 1);
  }

  std::optional<std::string> old_;
};

/// What comes to a terminal while `action` writes to it.
template <class Action>
std::string shown_on_terminal(const Action& action) {
  const int master = ::posix_openpt(O_RDWR | O_NOCTTY);
  REQUIRE(master >= 0);
  REQUIRE(::grantpt(master) == 0);
  REQUIRE(::unlockpt(master) == 0);
  auto* terminal = std::fopen(::ptsname(master), "w");
  REQUIRE(terminal != nullptr);
  termios settings{};
  ::tcgetattr(::fileno(terminal), &settings);
  settings.c_oflag &= ~static_cast<tcflag_t>(OPOST);  // "\n" stays "\n"
  ::tcsetattr(::fileno(terminal), TCSANOW, &settings);
  action(terminal);
  constexpr std::string_view kEnd = "<end>";
  std::fwrite(kEnd.data(), 1, kEnd.size(), terminal);
  std::fflush(terminal);
  // While the terminal is open: what was written may go when it is closed.
  std::string shown;
  std::array<char, 4096> bytes{};
  while (!shown.ends_with(kEnd)) {
    const auto size = ::read(master, bytes.data(), bytes.size());
    REQUIRE(size > 0);
    shown.append(bytes.data(), static_cast<std::size_t>(size));
  }
  std::fclose(terminal);
  ::close(master);
  shown.resize(shown.size() - kEnd.size());
  return shown;
}

void show_a_step_and_a_line(std::FILE* out) {
  Progress progress(out);
  std::this_thread::sleep_for(std::chrono::milliseconds(110));
  progress.step([] {
    return ProgressState{.epoch = 1, .epochs = 2, .step = 1, .steps = 4};
  });
  progress.line("epoch 1/2");
}

}  // namespace

TEST_CASE("progress: times are read as on a clock", "[cifar10]") {
  CHECK(clock_text(0) == "0:00");
  CHECK(clock_text(0.2) == "0:01");
  CHECK(clock_text(65) == "1:05");
  CHECK(clock_text(3723) == "1:02:03");
}

TEST_CASE("progress: the bar shows rate, loss and time left", "[cifar10]") {
  const ProgressState state{
      .epoch = 3,
      .epochs = 10,
      .step = 391,
      .steps = 782,
      .steps_left = 5865,
      .loss = 1.23456};

  CHECK(
      bar_text(state, 200, 79) ==
      "epoch  3/10 [#########..........]  50 %  200 steps/s  loss 1.2346  "
      "0:30 left");
  SECTION("as wide as there is room for, up to 40 cells") {
    CHECK(bar_text(state, 200, 79).size() == 76);
    CHECK(bar_text(state, 200, 200).size() == 97);
  }
  SECTION("without the bar where there is none") {
    CHECK(
        bar_text(state, 200, 60) ==
        "epoch  3/10  50 %  200 steps/s  loss 1.2346  0:30 left");
    CHECK(bar_text(state, 200, 20).size() <= 20);
  }
  SECTION("of what is no training") {
    auto ranking = state;
    ranking.label = "ranking";
    ranking.unit = "paths";
    CHECK_THAT(
        bar_text(ranking, 200, 79),
        Catch::Matchers::StartsWith("ranking [#") &&
            Catch::Matchers::EndsWith("]  50 %  200 paths/s  0:30 left"));
  }
  SECTION("with a decimal where it is slow") {
    CHECK_THAT(
        bar_text(state, 6.66, 79),
        Catch::Matchers::ContainsSubstring(" 6.7 steps/s "));
  }
  SECTION("before a rate is known") {
    CHECK_THAT(bar_text(state, 0, 79), Catch::Matchers::EndsWith("-:-- left"));
  }
}

TEST_CASE(
    "Progress: writes plain lines where there is no terminal", "[cifar10]") {
  const test::TemporaryFolder folder;
  auto* file = std::fopen((folder / "out").c_str(), "w");
  REQUIRE(file != nullptr);
  Progress progress(file);
  bool asked = false;
  for (int i = 0; i < 100; ++i) {
    progress.step([&asked] {
      asked = true;
      return ProgressState{};
    });
  }
  progress.line("epoch 1");
  progress.pause();
  std::fclose(file);
  CHECK(test::read_file(folder / "out") == "epoch 1\n");
  CHECK_FALSE(asked);
}

TEST_CASE("Progress: shows a bar on a terminal", "[cifar10]") {
  const TerminalKind kind("xterm");
  const auto shown = shown_on_terminal(show_a_step_and_a_line);
  CHECK_THAT(shown, Catch::Matchers::StartsWith("\repoch 1/2 ["));
  CHECK_THAT(shown, Catch::Matchers::EndsWith("\r\x1b[Kepoch 1/2\n"));
}

TEST_CASE(
    "Progress: a terminal without escape codes gets plain lines", "[cifar10]") {
  const TerminalKind kind(
      GENERATE(static_cast<const char*>(nullptr), "", "dumb"));
  CHECK(shown_on_terminal(show_a_step_and_a_line) == "epoch 1/2\n");
}

TEST_CASE("Progress: the bar is gone before an error is shown", "[cifar10]") {
  const TerminalKind kind("xterm");
  const auto shown = shown_on_terminal([](std::FILE* out) {
    Progress progress(out);
    std::this_thread::sleep_for(std::chrono::milliseconds(110));
    progress.step([] { return ProgressState{.epochs = 1, .steps = 1}; });
  });
  CHECK_THAT(shown, ContainsSubstring("epoch 0/1"));
  CHECK_THAT(shown, Catch::Matchers::EndsWith("\r\x1b[K"));
}

TEST_CASE("Progress: a line holds no control characters", "[cifar10]") {
  const test::TemporaryFolder folder;
  auto* file = std::fopen((folder / "out").c_str(), "w");
  REQUIRE(file != nullptr);
  Progress(file).line("one\ntwo\x1b[2J");
  std::fclose(file);
  CHECK(test::read_file(folder / "out") == "one\ntwo\\x1b[2J\n");
}

}  // namespace cifar10
