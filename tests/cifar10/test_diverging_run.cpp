// SPDX-License-Identifier: MIT
// Runs whose loss or weights are not finite any more.
#include "small_run.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"

#include <cmath>
#include <string>

namespace cifar10 {

namespace test = gatedpaths::test;

using test::message_of;
using test::read_file;

TEST_CASE(
    "TrainingRun: a loss that is not finite is not trained on",
    "[cifar10][error]") {
  const auto run = start_small();
  run->step();
  run->step();
  run->step();
  run->end_epoch();
  run->step();
  weight(*run, "fc3.bias")[3].fill_(NAN);
  const auto before = all_weights(*run);
  CHECK(
      message_of<c10::Error>([&] { run->step(); }) ==
      "epoch 2, step 5: expected a finite loss, got nan (a smaller --lr may "
      "help)");
  CHECK(all_weights(*run) == before);
  CHECK(run->position().step == 4);
  weight(*run, "fc3.bias")[3].fill_(INFINITY);
  CHECK_THROWS_AS(run->step(), c10::Error);
}

TEST_CASE(
    "TrainingRun: weights that are not finite are neither saved nor the end of "
    "an epoch",
    "[cifar10][error]") {
  const test::TemporaryFolder folder;
  const auto run = start_small();
  for (int i = 0; i < 3; ++i) {
    run->step();
  }
  run->save(folder / "run.pt");
  const auto good = read_file(folder / "run.pt");
  // One that the loss of the last step need not have seen.
  const float value = GENERATE(NAN, INFINITY, -INFINITY);
  weight(*run, "paths.b.0.weight").flatten()[7].fill_(value);

  const std::string message =
      "epoch 1, step 3: expected finite weights, got inf or nan in "
      "'paths.b.0.weight' (a smaller --lr may help)";
  REQUIRE(run->at_epoch_end());
  CHECK(message_of<c10::Error>([&] { run->end_epoch(); }) == message);
  CHECK(
      message_of<c10::Error>([&] { run->save(folder / "run.pt"); }) == message);
  CHECK(read_file(folder / "run.pt") == good);
  CHECK(run->position().epoch == 0);
}

}  // namespace cifar10
