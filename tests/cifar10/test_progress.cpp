// SPDX-License-Identifier: MIT
#include "progress.hpp"

#include "support/catch.hpp"
#include "support/files.hpp"

#include <cstdio>

namespace cifar10 {

namespace test = gatedpaths::test;

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

}  // namespace cifar10
